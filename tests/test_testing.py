from __future__ import annotations

import re
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from autotl.builtin import arrays, digits, embedded_backbone, image_folders, tables
from autotl.files import sha256
from autotl.records import (
    COLUMNS,
    Backbone,
    Dataset,
    InputSizes,
    Loader,
    Preprocessing,
    ReferenceStatistics,
    Weights,
)
from autotl.testing import _statistics_problems, check_backbone, check_loader, check_plugin
from autotl.worker import Worker

# ---- plugins ----


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(body, name="conformance_plugin"):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(body))
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


GOOD = """
    from autotl import hookimpl
    print("a plugin may print")

    @hookimpl
    def autotl_loaders():
        return []
    """


@pytest.mark.parametrize(
    "name",
    [
        *("image_folders", "nested_folders", "tables", "arrays", "frames", "tf_datasets"),
        *("digits", "embedded_backbone"),
    ],
    ids=str,
)
def test_the_built_in_plugins_conform(name):
    brought = check_plugin(f"autotl.builtin.{name}")
    assert brought.backbones or brought.loaders


def test_a_good_module_conforms(module):
    assert check_plugin(module(GOOD)).loaders == ()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (GOOD.replace("print", "import tensorflow; print"), "imports .*tensorflow"),
        (GOOD.replace("print", "import sys; sys.modules['torch'] = sys; print"), "imports torch"),
        (GOOD.replace("autotl_loaders", "autotl_loader"), "Did you mean autotl_loaders"),
        (GOOD.replace("return []", "return [3]"), "not a Loader"),
        (GOOD.replace("@hookimpl", ""), "no hook"),
        (GOOD.replace("return []", "return 1 / 0"), "a hook raised ZeroDivisionError"),
    ],
)
def test_a_module_that_does_not_conform_is_told_why(module, body, text):
    if "import tensorflow" in body:
        module("", name="tensorflow")
        sys.modules.pop("tensorflow", None)
    with pytest.raises(AssertionError, match=text):
        check_plugin(module(body))


def test_a_distribution_is_checked_by_its_entry_points(module, tmp_path):
    name = module(GOOD)
    info = tmp_path / "conforming-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: conforming\nVersion: 1.0\n")
    with pytest.raises(AssertionError, match="no entry point in the group 'autotl'"):
        check_plugin("conforming")
    (info / "entry_points.txt").write_text(f"[autotl]\nx = {name}\n")
    check_plugin("conforming")
    points = ["arrays", "embedded_backbone"]
    lines = "".join(f"{point} = autotl.builtin.{point}\n" for point in points)
    (info / "entry_points.txt").write_text(f"[autotl]\n{lines}")
    brought = check_plugin("conforming")
    assert [one.name for one in brought.backbones] == ["embedded"]
    assert [one.name for one in brought.loaders] == ["arrays"]


def test_names_must_differ_across_the_modules_of_a_distribution(module, tmp_path):
    body = """
        from autotl import hookimpl
        from autotl.records import Loader

        @hookimpl
        def autotl_loaders():
            nothing = lambda data, options: None
            return [Loader(name="NAME", description="d", matches=nothing, load=nothing)]
        """
    first = module(body.replace("NAME", "mine"), name="first_of_two")
    second = module(body.replace("NAME", "Mine"), name="second_of_two")
    info = tmp_path / "twice-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twice\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[autotl]\na = {first}\nb = {second}\n")
    with pytest.raises(AssertionError, match="two of its loaders are named mine"):
        check_plugin("twice")


def test_a_module_that_is_not_there_is_said():
    with pytest.raises(AssertionError, match="no_such_plugin"):
        check_plugin("no_such_plugin")


# ---- loaders ----


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            image = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"two/mean": None}, r"no two/mean of shape \(5,\)"),
        ({"one/covariance": np.zeros((4, 3))}, r"no one/covariance of shape \(4, 4\)"),
        ({"one/mean": np.full(4, np.nan)}, "one/mean is not finite"),
    ],
)
def test_reference_statistics_are_looked_at(tmp_path, monkeypatch, changes, text):
    import keras

    package = tmp_path / f"statistics_{len(text)}"  # a module of its own in each case
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    arrays_ = {}
    for stage, channels in (("one", 4), ("two", 5)):
        arrays_[f"{stage}/mean"] = np.zeros(channels)
        arrays_[f"{stage}/covariance"] = np.eye(channels)
    kept = {k: v for k, v in (arrays_ | changes).items() if v is not None}
    np.savez(package / "r.npz", **kept)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="one")(inputs)
    net = keras.Model(inputs, keras.layers.Conv2D(5, 1, name="two")(x))
    given = ReferenceStatistics(
        file="r.npz", package=package.name, sha256=sha256(package / "r.npz"), size=8, images=9
    )
    about = SimpleNamespace(reference_statistics=given, stages=("one", "two"))
    found = list(_statistics_problems(about, net))
    assert bool(found) == bool(text)
    if text:
        assert re.search(text, found[0])
    content = (package / "r.npz").read_bytes()
    (package / "r.npz").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "not the file of the checksum" in next(_statistics_problems(about, net))
    (package / "r.npz").unlink()
    assert "is missing" in next(_statistics_problems(about, net))


def loader_of(plugin) -> Loader:
    (one,) = plugin.autotl_loaders()
    return one


def test_the_loader_of_folders_conforms(pictures):
    dataset = check_loader(loader_of(image_folders), str(pictures))
    assert len(dataset.ids) == 16


def test_the_loader_of_arrays_conforms(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "arrays.npz"
    images = rng.integers(0, 256, (20, 8, 8)).astype(np.uint8)
    np.savez(file, images=images, labels=np.arange(20) % 2)
    assert check_loader(loader_of(arrays), str(file)).classes == ("0", "1")


def test_the_loader_of_digits_conforms():
    assert len(check_loader(loader_of(digits), "digits").classes) == 10


def sloppy(pictures: Path, **changes) -> Loader:
    paths = sorted(pictures.glob("*/*.png"))
    dataset = Dataset(
        kind="image",
        ids=tuple(path.name + path.parent.name for path in paths),
        labels=tuple(int(path.parent.name == "dog") for path in paths),
        classes=("cat", "dog"),
        read=lambda row: paths[row].read_bytes(),
    )
    fields = {
        "name": "sloppy",
        "description": "pictures",
        "matches": lambda data, options: "it is there" if data == str(pictures) else None,
        "load": lambda data, options: replace(dataset, **changes),
    }
    return Loader(**fields)


def eager(pictures: Path) -> Loader:
    good = sloppy(pictures)

    def load(data, options):
        held = [path.read_bytes() for path in sorted(pictures.glob("*/*.png"))]
        return replace(good.load(data, options), read=lambda row: held[row])

    return replace(good, load=load)


def changing(pictures: Path) -> Loader:
    good, seen = sloppy(pictures), []

    def load(data, options):
        seen.append(1)
        found = good.load(data, options)
        return replace(found, ids=tuple(f"{len(seen)}/{name}" for name in found.ids))

    return replace(good, load=load)


def in_order(pictures: Path) -> Loader:
    good, seen = sloppy(pictures), []

    def load(data, options):
        found = good.load(data, options)

        def read(row):
            seen.append(row)
            return found.read(len(seen) % len(found.ids))

        return replace(found, read=read)

    return replace(good, load=load)


def heeding(pictures: Path, **changes) -> Loader:
    good = sloppy(pictures)

    def load(data, options):
        options.get("group_column")
        return good.load(data, options)

    return replace(good, load=load, **changes)


FAULTS = {
    "reads group_column, which its field `options` does not list": heeding,
    "opened 16 files for 16 examples": eager,
    "other ids the second time": changing,
    "something else in another order": in_order,
    "gave a str, not bytes": lambda p: sloppy(p, read=str),
    "gave float64, not uint8": lambda p: sloppy(p, read=lambda row: np.zeros((8, 8))),
    "id occurs twice": lambda p: sloppy(p, ids=("same",) * 16),
    "none of the 2 classes": lambda p: sloppy(p, labels=(0, 9) * 8),
    "not a sentence that says why": lambda p: replace(sloppy(p), matches=lambda d, o: True),
    "instead of None": lambda p: replace(sloppy(p), matches=lambda d, o: "always"),
    "instead of returning None": lambda p: replace(
        sloppy(p), matches=lambda d, o: "it is there" if "data" in d else None
    ),
    "description is empty": lambda p: replace(sloppy(p), description=""),
}


def test_a_plain_loader_conforms(pictures):
    check_loader(sloppy(pictures), str(pictures))


def test_a_loader_that_lists_the_options_it_reads_conforms(pictures):
    check_loader(heeding(pictures, options=("group_column",)), str(pictures))


READINGS = {
    "get": lambda options, name: options.get(name),
    "in": lambda options, name: name in options,
    "item": lambda options, name: options[name],
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("place", ["matches", "load"])
@pytest.mark.parametrize("how", READINGS)
def test_an_option_that_is_read_and_not_listed_is_told(pictures, column, place, how):
    good = sloppy(pictures)

    def asking(data, options):
        with suppress(KeyError):
            READINGS[how](options, column)
        return getattr(good, place)(data, options)

    with pytest.raises(AssertionError, match=f"it reads {column}, which"):
        check_loader(replace(good, **{place: asking}), str(pictures))


def test_the_loader_of_tables_lists_what_it_reads(pictures):
    lines = [f"{path.relative_to(pictures)},{path.parent.name}" for path in pictures.glob("*/*")]
    (pictures / "table.csv").write_text("\n".join(["file,label", *sorted(lines)]))
    check_loader(loader_of(tables), str(pictures / "table.csv"))
    none_listed = replace(loader_of(tables), options=())
    with pytest.raises(AssertionError, match="does not list"):
        check_loader(none_listed, str(pictures / "table.csv"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_loader_that_does_not_conform_is_told_why(pictures, fault):
    with pytest.raises(AssertionError, match=fault):
        check_loader(FAULTS[fault](pictures), str(pictures))


# ---- backbones ----

NETS = """
    import numpy as np

    def build(size, weights, *, fault=""):
        import keras
        numbered = len(BUILDS) if fault == "numbered" else 0
        BUILDS.append(size)
        inputs = keras.Input((size, size, 3))
        x = inputs
        if fault == "other graph" and weights is not None:
            x = keras.layers.Rescaling(1.0)(x)
        x = keras.layers.Conv2D(4, 3, 2, padding="same", name=f"a{numbered or ''}")(x)
        y = keras.layers.Conv2D(4, 3, padding="same", name="b")(x)
        if fault == "bypass":
            y = keras.layers.Add(name="sum")([y, x])
        if fault == "unnamed weight":
            y = unnamed()(y)
        if fault == "not convertible":
            resize = keras.layers.Resizing(4, 4, interpolation="bicubic", antialias=True, name="c")
            y = resize(y)
        if fault == "not finite":
            y = keras.layers.Rescaling(float("inf"), name="c")(y)
        net = keras.Model(inputs, keras.layers.ReLU(name="out")(y))
        if weights is not None and fault != "unread":
            rows = np.load(weights)
            layers = ["a"] if fault == "half read" else ["a", "b"]
            for name in layers:
                values = net.get_layer(name).get_weights()
                net.get_layer(name).set_weights([np.full_like(v, rows[0]) for v in values])
        return net

    def unnamed():
        import keras

        class Scale(keras.layers.Layer):
            def build(self, shape):
                self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

            def call(self, x):
                return x * self.factor

        return Scale(name="scale")

    BUILDS = []

    def faulty(fault):
        return lambda size, weights: build(size, weights, fault=fault)
    """
FAULTY = (
    "numbered",
    "other graph",
    "bypass",
    "not finite",
    "unread",
    "half read",
    "unnamed weight",
    "not convertible",
)


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """A worker that can import the networks, and the folder of their weights."""
    folder = tmp_path_factory.mktemp("nets")
    functions = "".join(f"\n{fault.replace(' ', '_')} = faulty({fault!r})" for fault in FAULTY)
    (folder / "conformance_nets.py").write_text(textwrap.dedent(NETS) + functions)
    (folder / "w.npy").write_bytes(b"")
    np.save(folder / "w.npy", np.array([0.5], np.float32))
    sys.path.insert(0, str(folder))
    with Worker() as worker:
        worker.warm()
        yield worker, folder / "w.npy"
    sys.path.remove(str(folder))


def toy(function: str = "build", **changes) -> Backbone:
    fields = {
        "name": "Toy",
        "build": f"conformance_nets:{function}",
        "stages": ("a", "b", "out"),
        "input_sizes": InputSizes(least=8, most=32, default=16, multiple_of=8),
        "preprocessing": Preprocessing(size=16, scale=1 / 255),
        "parameters": 112 + 148,
        "license": "MIT",
        "source_domain": "nothing",
        "weights": (Weights(file="w.npy"),),
        **changes,
    }
    return Backbone(**fields)


def test_a_good_backbone_conforms(nets):
    worker, weights = nets
    check_backbone(toy(), weights=weights, worker=worker)
    check_backbone(toy(weights=()), worker=worker)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("numbered", "no layer is named a"),
        ("other_graph", "pretrained build has 5 layers|pretrained build differs"),
        ("bypass", "stage b is not a cut"),
        ("not_finite", "not finite"),
        ("unread", "leaves some weights at random"),
        ("half_read", "leaves some weights at random"),
        ("unnamed_weight", "a second random build differs from layer"),
        ("no_such", "could not be built"),
    ],
)
def test_a_network_that_does_not_conform_is_told_why(nets, function, text):
    worker, weights = nets
    with pytest.raises(AssertionError, match=text):
        check_backbone(toy(function), weights=weights, worker=worker)


def test_a_network_that_cannot_be_exported_is_to_say_why(nets):
    worker, weights = nets
    with pytest.raises(AssertionError, match=r"ScaleAndTranslate.*no_export is the place"):
        check_backbone(toy("not_convertible"), weights=weights, worker=worker)
    check_backbone(toy("not_convertible", no_export="ONNX has it not"), worker=worker)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"parameters": 5}, "260 parameters, not the 5"),
        ({"stages": ("b", "a", "out")}, "not a cut|does not come after"),
        ({"stages": ("a", "b")}, "output is not that of the last stage"),
        ({"license": ""}, "license is empty"),
    ],
)
def test_fields_that_do_not_fit_the_network_are_told(nets, changes, text):
    worker, weights = nets
    with pytest.raises(AssertionError, match=text):
        check_backbone(toy(**changes), weights=weights, worker=worker)


@pytest.mark.slow
def test_the_embedded_backbone_conforms():
    (backbone,) = embedded_backbone.autotl_backbones()
    check_backbone(backbone)
