"""Conformance checks for plugin authors: what autotl relies on, as assertions.

    from autotl.testing import check_backbone, check_loader, check_plugin

    def test_my_plugin():
        for backbone in check_plugin("my-distribution").backbones:
            check_backbone(backbone)

Each check raises `AssertionError` that lists everything it found wrong. Checks of backbones build
the network in a worker process and take some ten seconds each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, UserDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.activations import exports
from autotl.errors import AutotlError
from autotl.files import sha256
from autotl.loading import load
from autotl.plugins import OfferedBackbone, locate
from autotl.plugins.discovery import GROUP, Asked, ask
from autotl.plugins.validation import backbone as validated_backbone
from autotl.plugins.validation import loader as validated_loader
from autotl.records import COLUMNS, Backbone, Dataset, Loader, LocatedBackbone, from_json, to_json
from autotl.worker import Worker

if TYPE_CHECKING:
    import keras

_FEW = 8
_HEAVY = ("keras", "tensorflow", "torch", "jax")


def check_plugin(plugin: str) -> Asked:
    """Check an installed distribution, or a module, by its name; returns what it brings.

    Importing it in a fresh process must import none of keras, tensorflow, torch, jax; its hooks
    must be known, and what they return valid, with names that differ. Checks neither the
    networks (`check_backbone`) nor the loaders (`check_loader`).
    """
    modules = _modules(plugin)
    _require(plugin, [problem for module in modules for problem in _import_problems(module)])
    brought: list[Asked] = []
    problems = []
    for module in modules:
        try:
            brought.append(ask(import_module(module)))
        except AutotlError as error:
            problems.append(f"{module}: {error}")
        except Exception as error:  # whatever a hook raises sets the plugin aside
            problems.append(f"{module}: a hook raised {error!r}")
    _require(plugin, problems)
    backbones = tuple(backbone for one in brought for backbone in one.backbones)
    loaders = tuple(loader for one in brought for loader in one.loaders)
    _require(plugin, [*_repeated("backbone", backbones), *_repeated("loader", loaders)])
    return replace(brought[0], backbones=backbones, loaders=loaders)


def _repeated(what: str, brought: Sequence[Backbone | Loader]) -> Iterator[str]:
    names = Counter(one.name.casefold() for one in brought)
    yield from (f"two of its {what}s are named {name}" for name, n in names.items() if n > 1)


def check_backbone(
    backbone: Backbone, *, weights: Path | None = None, worker: Worker | None = None
) -> None:
    """Check the fields of a backbone, and its networks as a worker builds them.

    Built with the weights that are on this machine (or `weights`) and at random, repeatedly and
    in turns, at its least and its default input size: the stages bear the same names each time and
    are single-tensor cuts, in order; pretrained and random graphs are equal; the weights file
    decides every weight; the output of an image is finite; the number of parameters is as stated;
    its ONNX graph gives what the network gives, unless the field `no_export` says why it cannot.
    Without weights on this machine what concerns them is not checked. `worker` serves where many
    backbones are checked; without it, each check starts one.
    """
    try:
        exact = validated_backbone(backbone)
        offered = OfferedBackbone(backbone=exact, distribution="under test")
        path, digest = locate(offered, weights_file=weights)
    except AutotlError as error:
        raise AssertionError(str(error)) from error
    spec = to_json(
        LocatedBackbone(
            backbone=exact,
            distribution="under test",
            input_size=exact.input_sizes.default,
            preprocessing=exact.preprocessing,
            weights=None if path is None else str(path),
            weights_sha256=digest,
        )
    )
    with nullcontext(worker) if worker else Worker() as used:
        try:
            problems = used.call("autotl.testing:examine_backbone", spec)
        except AutotlError as error:
            raise AssertionError(str(error)) from error
    _require(backbone.name, problems)


def check_loader(loader: Loader, data: Any, *, options: Mapping[str, Any] | None = None) -> Dataset:
    """Check a loader on data of its layout (of ten examples or more); returns the dataset.

    It must match with a sentence, refuse what does not exist, give the same valid dataset each
    time, list the options that it reads, open none of the files of examples in a folder before they
    are read, and read examples in any order and from several threads at once.
    """
    options = _Options(options or {})
    try:
        validated_loader(loader)
    except AutotlError as error:
        raise AssertionError(str(error)) from error
    _require(loader.name, list(_matching_problems(loader, data, options)))
    with _opened_files() as opened:
        first = loader.load(data, options)
    _require(loader.name, _eager_problems(first, data, opened))
    second = loader.load(data, options)
    problems = [*_unequal_problems(first, second), *_reading_problems(first)]
    problems += [
        f"it reads {name}, which its field `options` does not list: who gives it is refused"
        for name in COLUMNS
        if name in options.asked.difference(loader.options)
    ]
    _require(loader.name, problems)
    try:
        load(data, [loader], options={**options, "loader": loader.name})
    except AutotlError as error:
        raise AssertionError(f"{loader.name}: {error}") from error
    return first


def _require(name: str, problems: list[str]) -> None:
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise AssertionError(f"{name} does not conform:\n{listed}")


# ---- plugins ----


def _modules(plugin: str) -> list[str]:
    """The modules of a distribution's entry points, or the one module of that name."""
    try:
        points = metadata.distribution(plugin).entry_points.select(group=GROUP)
    except metadata.PackageNotFoundError:
        return [plugin]
    modules = [point.module for point in points]
    if not modules:
        raise AssertionError(f"{plugin} has no entry point in the group '{GROUP}'.")
    return modules


def _import_problems(module: str) -> Iterator[str]:
    """What importing the module in a fresh process brings along that it must not."""
    code = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import importlib; "
        "importlib.import_module(sys.argv[2]); "
        "print('\\n' + ' '.join(n for n in sys.argv[3:] if n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sys.path), module, *_HEAVY],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        yield f"{module} cannot be imported: {done.stderr.strip()}"
    elif imported := done.stdout.splitlines()[-1].split():
        yield f"importing {module} imports {', '.join(imported)}"


# ---- loaders ----


def _matching_problems(loader: Loader, data: Any, options: Mapping[str, Any]) -> Iterator[str]:
    reason = loader.matches(data, options)
    if not isinstance(reason, str) or not reason:
        yield f"matches returned {reason!r} for the data, not a sentence that says why"
    for nothing in ("no/such/place", None, 3, b"", object()):
        try:
            matched = loader.matches(nothing, options)
        except Exception as error:
            yield f"matches({nothing!r}) raised {error!r} instead of returning None"
        else:
            if matched is not None:
                yield f"matches({nothing!r}) returned {matched!r} instead of None"


class _Options(UserDict[str, Any]):
    """Options that know which of them were asked for, given or not."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.asked: set[object] = set()

    def __contains__(self, name: object) -> bool:  # `get` asks it too
        self.asked.add(name)
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


_watched: list[list[str]] = []


def _hear(event: str, facts: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(facts[0], str | bytes):
        for paths in _watched:
            paths.append(os.fsdecode(facts[0]))


@cache
def _install_hook() -> None:
    """Python has no way to take an audit hook away: hence one, once."""
    sys.addaudithook(_hear)


@contextmanager
def _opened_files() -> Iterator[list[str]]:
    """The paths of files that this process opens inside the block."""
    _install_hook()
    paths: list[str] = []
    _watched.append(paths)
    try:
        yield paths
    finally:
        _watched.remove(paths)


def _eager_problems(dataset: Dataset, data: Any, opened: list[str]) -> list[str]:
    if not isinstance(data, str | Path) or not Path(data).is_dir():
        return []
    root = Path(data).resolve()
    below = {path for path in map(Path, opened) if path.resolve().is_relative_to(root)}
    if len(below) < max(2, len(dataset.ids)):
        return []
    return [f"load opened {len(below)} files for {len(dataset.ids)} examples: read them lazily"]


def _unequal_problems(first: Dataset, second: Dataset) -> Iterator[str]:
    for field in ("kind", "ids", "labels", "classes", "groups", "splits"):
        if getattr(first, field) != getattr(second, field):
            yield f"load gave other {field} the second time"


def _reading_problems(dataset: Dataset) -> Iterator[str]:
    rows = list(range(len(dataset.ids)))
    rows = rows[:: max(1, len(rows) // _FEW)]
    forward = [dataset.read(row) for row in rows]
    with ThreadPoolExecutor(4) as pool:
        backward = list(pool.map(dataset.read, reversed(rows)))[::-1]
    for row, one, other in zip(rows, forward, backward, strict=True):
        if not isinstance(one, bytes | np.ndarray):
            yield f"read({row}) gave a {type(one).__name__}, not bytes or a NumPy array"
        elif isinstance(one, np.ndarray) and one.dtype != np.uint8:
            yield f"read({row}) gave {one.dtype}, not uint8"
        elif not np.array_equal(one, other):
            yield f"read({row}) gave something else in another order, from another thread"


# ---- backbones, in the worker ----


def examine_backbone(spec: Any, progress: Any) -> list[str]:
    """What is wrong with the networks of a `LocatedBackbone` in JSON; runs in a worker."""
    from autotl.model import build

    located = from_json(LocatedBackbone, spec)
    sizes = located.backbone.input_sizes
    small = replace(
        located,
        input_size=-(-sizes.least // sizes.multiple_of) * sizes.multiple_of,
        weights=None,
    )
    first = build(located, pretrained=False, seed=1)
    least = build(small, pretrained=False, seed=1)
    again = build(located, pretrained=False, seed=1)
    other = build(located, pretrained=False, seed=2)
    problems = [*_random_problems(first, again, other), *_output_problems(located, first)]
    if located.weights is not None:
        one = build(located, pretrained=True, seed=1)
        two = build(located, pretrained=True, seed=2)
        problems += [*_pretrained_problems(first, one, two), *_output_problems(located, one)]
    problems += _statistics_problems(located.backbone, first)
    if not problems:
        problems += _export_problems(small, least)
    return problems


def _random_problems(first: keras.Model, again: keras.Model, other: keras.Model) -> Iterator[str]:
    yield from _graph_problems("a second random build", first, again)
    if not _equal_weights(first, again):
        yield "two random builds from one seed have different weights"
    if first.trainable_weights and _equal_weights(first, other):
        yield "random builds from two seeds have the same weights"


def _pretrained_problems(random: keras.Model, one: keras.Model, two: keras.Model) -> Iterator[str]:
    yield from _graph_problems("the pretrained build", random, one)
    yield from _graph_problems("a second pretrained build", one, two)
    if not _equal_weights(one, two):
        yield "the weights file leaves some weights at random"
    if _equal_weights(random, one):
        yield "the pretrained build has the random build's weights"


def _graph_problems(what: str, first: keras.Model, second: keras.Model) -> Iterator[str]:
    """How the layers of two networks differ, their names, kinds and shapes, and their weights'."""
    mine, theirs = _layers(first), _layers(second)
    if len(mine) != len(theirs):
        yield f"{what} has {len(theirs)} layers, not {len(mine)}"
    unequal = [(a, b) for a, b in zip(mine, theirs, strict=False) if a != b]
    if unequal:
        yield f"{what} differs from layer {unequal[0][0]} on: {unequal[0][1]}"


def _layers(net: keras.Model) -> list[tuple[str, str, str, str]]:
    return [
        (
            layer.name,
            type(layer).__name__,
            str(layer.output.shape if hasattr(layer.output, "shape") else ""),
            str([(weight.name, tuple(weight.shape)) for weight in layer.weights]),
        )
        for layer in net.layers
        if type(layer).__name__ != "InputLayer"
    ]


def _export_problems(located: LocatedBackbone, net: keras.Model) -> Iterator[str]:
    from autotl.model import prepare

    if located.backbone.no_export:
        return
    shape = (2, located.input_size, located.input_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    problem = exports.problem(net, prepare(pixels, located.preprocessing))
    if problem:
        yield (
            f"its ONNX graph is not the network, for which it will be refused: {problem} (where it "
            "cannot be mended, no_export is the place to say why)"
        )


def _statistics_problems(backbone: Backbone, net: keras.Model) -> Iterator[str]:
    given = backbone.reference_statistics
    if given is None:
        return
    path = Path(str(resources.files(given.package).joinpath(given.file)))
    if not path.is_file() or sha256(path) != given.sha256:
        yield f"{path} is missing, or is not the file of the checksum that is stated"
        return
    with np.load(path, allow_pickle=False) as found:
        for stage in backbone.stages:
            channels = net.get_layer(stage).output.shape[-1]
            shapes = {"mean": (channels,), "covariance": (channels, channels)}
            for name, shape in shapes.items():
                key = f"{stage}/{name}"
                if key not in found or found[key].shape != shape:
                    yield f"{given.file} has no {key} of shape {shape}"
                elif not np.isfinite(found[key]).all():
                    yield f"{given.file}: {key} is not finite"


def _equal_weights(first: keras.Model, second: keras.Model) -> bool:
    pairs = zip(first.get_weights(), second.get_weights(), strict=False)
    return all(np.array_equal(one, other) for one, other in pairs)


def _output_problems(located: LocatedBackbone, net: keras.Model) -> Iterator[str]:
    from autotl.model import prepare

    shape = (2, located.input_size, located.input_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    output = np.asarray(net(prepare(pixels, located.preprocessing), training=False))
    if not np.isfinite(output).all():
        yield "the output of random pixels is not finite"
    elif float(output.std()) == 0:
        yield "the output is the same everywhere"
    counted, stated = net.count_params(), located.backbone.parameters
    if counted != stated:
        yield f"it has {counted:,} parameters, not the {stated:,} that are stated"
