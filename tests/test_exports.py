"""What cannot be exported is refused before anything is trained with it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autotl import convert, preparation
from autotl.activations import exports
from autotl.errors import ParityError, PluginError, ResourceError
from autotl.records import LocatedBackbone, to_json
from tests import tiny_backbone

ROOT = Path(__file__).parents[1]

PLUGIN = """
    from autotl import hookimpl
    from autotl.records import Backbone, InputSizes, Preprocessing

    def backbone(name, **more):
        return Backbone(
            name=name,
            build=f"third_party:{name.lower()}",
            stages=("one", "two"),
            input_sizes=InputSizes(least=16, most=32, default=32, multiple_of=16),
            preprocessing=Preprocessing(size=32, scale=1 / 255),
            parameters=224,
            license="MIT",
            source_domain="nothing",
            **more,
        )

    @hookimpl
    def autotl_backbones():
        return [backbone("Resizing"), backbone("Declared", no_export="its pooling is a dream.")]

    def resizing(size, weights):
        import keras

        inputs = keras.Input((size, size, 3))
        x = keras.layers.Conv2D(8, 3, 2, padding="same", name="one")(inputs)
        resize = keras.layers.Resizing(4, 4, interpolation="bicubic", antialias=True, name="two")
        return keras.Model(inputs, resize(x))

    def declared(size, weights):
        raise AssertionError("nothing is built of what is known not to be exported")
    """


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution of two backbones that cannot be exported."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "third_party.py").write_text(textwrap.dedent(PLUGIN))
    info = folder / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autotl]\nthird-party = third_party\n")
    return folder


def autotl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autotl", *arguments],
        capture_output=True,
        cwd=folder,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"},
    )


@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_a_backbone_that_cannot_be_converted_is_refused_with_the_operator_s_name(
    third_party: Path, command: str
) -> None:
    asked = ["digits", "--backbone", "Resizing", "--strategy", "scratch", "--trials", "1"]
    out = ["--out", "run"] if command == "fit" else []
    done = autotl(third_party, command, *asked, *out)
    assert done.returncode == 4, done.stderr
    assert "Resizing cannot be exported to ONNX, so nothing was trained with it" in done.stderr
    assert "ScaleAndTranslate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (third_party / "run").exists(), "a run that began nothing leaves nothing"


@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_a_backbone_that_says_why_it_cannot_be_exported_is_refused_with_the_reason(
    third_party: Path, command: str
) -> None:
    done = autotl(third_party, command, "digits", "--backbone", "declared")
    assert done.returncode == 4, done.stderr
    told = " ".join(done.stderr.split())
    assert "Declared cannot be exported to ONNX: its pooling is a dream." in told
    assert "Usable now: embedded" in told


def test_the_list_of_backbones_says_why_one_cannot_be_exported(third_party: Path) -> None:
    done = autotl(third_party, "backbones")
    told = " ".join(done.stdout.split())
    assert "Cannot be exported" in told
    assert done.returncode == 0


# ---- showing that it can be done ----


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> LocatedBackbone:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return tiny_backbone.located()


def show(place: LocatedBackbone, folder: Path) -> None:
    spec = {"located": to_json(place), "folder": str(folder)}
    exports.show(spec, lambda what, done, total: None)


def test_what_was_shown_is_known_at_every_size_and_of_no_other_network(
    place: LocatedBackbone, tmp_path: Path
) -> None:
    assert not exports.shown(place, tmp_path)
    show(place, tmp_path)
    assert exports.shown(place, tmp_path)
    smaller = replace(place.preprocessing, size=8)
    assert exports.shown(replace(place, input_size=8, preprocessing=smaller), tmp_path)
    weighted = replace(place, weights="w.npz", weights_sha256="1" * 64)
    assert exports.shown(weighted, tmp_path), "weights change nothing about the graph"
    other = replace(place.backbone, build="tiny_backbone:other")
    assert not exports.shown(replace(place, backbone=other), tmp_path)


def test_nothing_is_kept_of_a_conversion_that_failed(
    place: LocatedBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ParityError("Frobnicate cannot be converted to ONNX")

    monkeypatch.setattr(convert, "to_onnx", fail)
    with pytest.raises(ParityError, match="Frobnicate"):
        show(place, tmp_path)
    assert not exports.shown(place, tmp_path)


def at(*, measured: bool = False, left: float | None = None) -> Any:
    run = SimpleNamespace(recorded=lambda step, _: "recorded" if measured else None)
    listener = SimpleNamespace(progress=lambda what, done, total: None)
    return SimpleNamespace(run=run, listener=listener, seconds_left=lambda: left)


class Here:
    """A worker that runs in this process and counts, or raises what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls, self.error = 0, error

    def call(self, function: str, spec: dict[str, Any], **options: Any) -> Any:
        assert function == exports.SHOW
        self.calls += 1
        if self.error:
            raise self.error
        return exports.show(spec, options["progress"])


def test_a_conversion_is_tried_once(place: LocatedBackbone, tmp_path: Path) -> None:
    worker: Any = Here()
    for _ in range(3):
        preparation._check_export(at(), place, tmp_path, worker)
    assert worker.calls == 1


def test_a_run_that_is_past_its_measurements_is_not_held_up(
    place: LocatedBackbone, tmp_path: Path
) -> None:
    worker: Any = Here()
    preparation._check_export(at(measured=True, left=-5.0), place, tmp_path, worker)
    assert worker.calls == 0


def test_other_errors_than_of_the_conversion_stay_what_they_are(
    place: LocatedBackbone, tmp_path: Path
) -> None:
    for error, kind in ((ParityError("no"), PluginError), (ResourceError("no"), ResourceError)):
        worker: Any = Here(error)
        with pytest.raises(kind):
            preparation._check_export(at(), place, tmp_path, worker)


# ---- the graph beside the network ----


@pytest.fixture
def net(place: LocatedBackbone) -> Any:
    from autotl import model

    return model.build(place, pretrained=False, seed=1)


PREPARED = np.random.default_rng(1).normal(size=(2, 16, 16, 3)).astype(np.float32)


def test_a_faithful_graph_has_no_problem(net: Any) -> None:
    assert exports.problem(net, PREPARED) == ""


def test_a_graph_that_gives_something_else_is_a_problem(
    net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    def other(*arguments: Any, **options: Any) -> Any:
        proto = to_onnx(*arguments, **options)
        kernel = next(one for one in proto.graph.initializer if len(one.dims) == 4)
        values = onnx.numpy_helper.to_array(kernel) * np.float32(1.02)
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
        return proto

    to_onnx = convert.to_onnx
    monkeypatch.setattr(convert, "to_onnx", other)
    assert "with its optimisations and Keras differ by" in exports.problem(net, PREPARED)


def test_a_graph_that_is_not_loaded_is_a_problem(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_graph", lambda _: b"no graph")
    assert "onnxruntime does not load" in exports.problem(net, PREPARED)
