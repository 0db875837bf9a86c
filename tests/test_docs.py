"""Pages that are held to what they describe."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

from autotl import errors
from autotl.cli.fit import fit

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "autotl" / "README.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def _rooms() -> set[str]:
    inside = (ROOT / "autotl").iterdir()
    folders = {f"{path.name}/" for path in inside if path.is_dir() and path.name != "__pycache__"}
    return folders | {path.name for path in (ROOT / "autotl").glob("*.py")}


def test_architecture_page_names_every_room_and_no_other() -> None:
    table = PAGE.split("## The rooms")[1].split("##")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == _rooms()


def test_architecture_page_shows_the_layers_that_are_enforced() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    enforced = [set(layer.split(" | ")) for layer in layers]
    block = PAGE.split("## Imports run downward")[1].split("```")[1]
    shown = [set(line.split(" · ")) for line in block.strip().splitlines()]
    assert shown == enforced


def test_what_predicting_needs_is_said_alike() -> None:
    needs = "onnxruntime, NumPy, Pillow, and onnx to look at the file"
    assert needs in str(importlib.import_module("autotl.prediction").__doc__)
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `prediction/` |"))
    assert needs in row


def test_readme_opens_with_two_commands_that_set_up_by_themselves() -> None:
    first = README.split("```")[1].strip().splitlines()
    commands = [line for line in first if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert "autotl fit digits" in commands[0]
    assert "pytest" in commands[1]


def test_readme_lists_the_exit_codes() -> None:
    codes = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type)
        if issubclass(each, errors.AutotlError)
    }
    for code in codes | {0, 130}:
        assert f"| {code} |" in README


def test_readme_has_no_gap_left_to_fill() -> None:
    assert not re.search(r"\b(EXCERPT|FIGURES|TODO|TBD)\b", README)


def test_readme_names_every_option_of_fit() -> None:
    options = {name for each in fit.params for name in each.opts if name.startswith("--")}
    told = set(re.findall(r"--[a-z0-9-]+", README))
    assert options - {"--help"} <= told


def _blocks(first: str) -> list[str]:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return [block for block in blocks if block.startswith(first)]


def test_the_plugin_in_the_readme_passes_the_checks_for_plugins(tmp_path: Path) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("plugin", "network"):
        (text,) = _blocks(f"# my_package/{name}.py")
        (package / f"{name}.py").write_text(text)
    (test,) = _blocks("# tests/test_plugin.py")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_plugin.py").write_text(test)
    rng = np.random.default_rng(0)
    for i in range(12):
        image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
        image.save(tmp_path / "tests" / f"{i}.png")
    lines = "".join(f"{i}.png {'ab'[i % 2]}\n" for i in range(12))
    (tmp_path / "tests" / "some.lines").write_text(lines)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_plugin.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_linked_files_exist() -> None:
    for page in (
        ROOT / "README.md",
        ROOT / "autotl" / "README.md",
        ROOT / ".github" / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        ROOT / "benchmarks" / "RESULTS.md",
    ):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block
    for line in block[1].splitlines():
        assert re.search(r'",\s+# \w', line), line
