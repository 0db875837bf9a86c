"""The public list, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
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
        "progress",
        "records",
        "resume",
        "verify",
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
    for name in ("deliver", "fit", "inspect", "load", "predict", "resume", "verify"):
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
    names = "fit, autotl.inspect, autotl.resume, autotl.deliver, autotl.verify"
    assert not _modules_after(f"import autotl; autotl.{names}") & set(HEAVY)


@pytest.mark.parametrize(
    "room",
    [
        *("loading", "split", "decide", "report", "run", "plugins", "prediction", "pixels"),
        *("pipeline", "delivery", "modelfile"),
    ],
)
def test_rooms_of_the_parent_import_no_keras(room: str) -> None:
    loaded = _modules_after(f"import autotl.{room}")
    assert not loaded & {"tensorflow", "keras", "keras_tuner", "tf2onnx"}


# ---- no pickle ----

BANNED = {
    *("pickle", "cPickle", "_pickle", "pickletools", "dill", "cloudpickle", "jsonpickle"),
    *("joblib", "shelve", "marshal"),
}


def unsafe(source: str) -> list[str]:
    """What in a module's source could run code that a file brings: line and reason."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        reasons = [name for name in names if name.split(".")[0] in BANNED]
        reasons += _unsafe_call(node) if isinstance(node, ast.Call) else []
        found += [f"{getattr(node, 'lineno', 0)}: {reason}" for reason in reasons]
    return found


def _unsafe_call(node: ast.Call) -> list[str]:
    called = ast.unparse(node.func)
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    first = ast.unparse(node.args[0]).strip("'\"") if node.args else ""
    by_name = called.endswith(("__import__", "import_module")) and first in BANNED
    numpy = called.endswith(("np.load", "np.save", "numpy.load", "numpy.save"))
    strict = given.get("allow_pickle") == "False"
    faults = {
        "NumPy reads and writes pickles unless allow_pickle=False": numpy and not strict,
        "allow_pickle": given.get("allow_pickle", "False") != "False",
        "Keras runs code of a file": given.get("safe_mode", "True") != "True",
        "Keras runs code of files": "enable_unsafe_deserialization" in called,
        "imports by name": by_name,
        "torch reads pickles": called == "torch.load" and given.get("weights_only") != "True",
    }
    return [reason for reason, is_so in faults.items() if is_so]


@pytest.mark.parametrize("folder", ["autotl", "plugins", "benchmarks"])
def test_no_source_reads_pickles(folder: str) -> None:
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    found = {str(path): unsafe(path.read_text("utf-8")) for path in paths}
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import loads", "import os, joblib", "import dill as d"),
        *("from shelve import open", "np.load(path)", "numpy.load(p, allow_pickle=True)"),
        *("np.load(p, allow_pickle=flag)", "np.save(p, x)", "np.savez(p, allow_pickle=True)"),
        "keras.models.load_model(p, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        *("__import__('marshal')", "importlib.import_module('pickle')", "torch.load(p)"),
    ],
)
def test_what_the_search_for_pickles_finds(line: str) -> None:
    assert unsafe(f"def f():\n    {line}\n") != []


def test_what_the_search_for_pickles_lets_pass() -> None:
    assert unsafe("import json\nnp.load(p, allow_pickle=False)\nload_model(p)") == []


def test_the_lint_rules_know_the_same_modules() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert set(lint["flake8-tidy-imports"]["banned-api"]) == BANNED
    assert {"S301", "S302", "TID"} <= set(lint["select"])
