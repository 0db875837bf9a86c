"""The public list, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import autotl

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "keras_tuner", "sklearn", "scipy", "onnx", "onnxruntime", "tf2onnx")


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_public_list_is_what_the_docstring_says() -> None:
    assert sorted(autotl.__all__) == [
        "deliver",
        "errors",
        "fit",
        "hookimpl",
        "inspect",
        "load",
        "predict",
        "records",
        "resume",
    ]
    for name in autotl.__all__:
        assert f"`{name}`" in (autotl.__doc__ or "")
        assert getattr(autotl, name) is not None
        assert name in dir(autotl)


def test_public_functions_stay_functions_after_use() -> None:
    assert callable(autotl.predict)
    importlib.import_module("autotl.prediction")
    assert callable(autotl.predict)
    assert callable(autotl.fit)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = autotl.nothing_here


def test_public_functions_are_documented_and_typed() -> None:
    for name in ("deliver", "fit", "inspect", "load", "predict", "resume"):
        function = getattr(autotl, name)
        assert function.__doc__
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter)


def test_importing_autotl_imports_nothing_heavy() -> None:
    modules = _modules_after("import autotl")
    assert not modules & {*HEAVY, "numpy", "rich", "click", "msgspec"}


def test_reaching_for_fit_imports_nothing_heavy() -> None:
    assert not _modules_after(
        "import autotl; autotl.fit, autotl.inspect, autotl.resume, autotl.deliver"
    ) & set(HEAVY)


@pytest.mark.parametrize(
    "room",
    [
        *("loading", "split", "decide", "report", "run", "plugins", "prediction", "pixels"),
        *("pipeline", "delivery"),
    ],
)
def test_rooms_of_the_parent_import_no_keras(room: str) -> None:
    loaded = _modules_after(f"import autotl.{room}")
    assert not loaded & {"tensorflow", "keras", "keras_tuner", "tf2onnx"}


def test_no_pickle_in_the_package() -> None:
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for path in (ROOT / "autotl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & banned, path
