"""The notebook for a first look: every cell runs, and shows what the text around it promises."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Jupyter's own packages say of each other
    import nbclient
    import nbformat

NOTEBOOK = Path(__file__).with_name("first_steps.ipynb")


def _cells(notebook: Any, containing: str) -> Any:
    (cell,) = (c for c in notebook.cells if c.cell_type == "code" and containing in c.source)
    return cell


def _value(cell: Any) -> str:
    """What the last expression of a cell was shown as."""
    (shown,) = (o for o in cell.outputs if o.output_type == "execute_result")
    return str(shown["data"]["text/plain"])


def _printed(cell: Any) -> str:
    return "".join(o["text"] for o in cell.outputs if o.output_type == "stream")


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own; ours are errors in the other tests
def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    told = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert not [o for o in told if o.output_type == "error"]
    assert not [o for o in told if o.get("name") == "stderr"]

    predicted = _printed(_cells(notebook, "autotl.inspect("))
    assert predicted.count("<- chosen") == 1
    assert "full-fine-tune" in predicted
    assert 0.95 < float(_value(_cells(notebook, "fitted.accuracy"))) <= 1.0
    assert "majority      0.100" in _printed(_cells(notebook, "fitted.accuracy"))
    assert _value(_cells(notebook, "autotl.fit("))
    said = _printed(_cells(notebook, "list(images)")).splitlines()
    assert len(said) == 5
    right = [line.split()[1] == line.split()[-1] for line in said]
    assert sum(right) >= 4
    ((label, probability),) = ast.literal_eval(_value(_cells(notebook, "three.png")))
    assert label == "3"
    assert probability > 0.5
    assert _value(_cells(notebook, "onnxruntime")).endswith("(5, 10))")
    assert (tmp_path / "digits-run" / "model.onnx").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits-run", "three.png"]
