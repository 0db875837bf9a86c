"""What a plugin returned, checked field by field before anything else sees it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from autotl.errors import PluginError
from autotl.records import (
    COLUMNS,
    CONTRACT,
    KINDS,
    Backbone,
    InputSizes,
    Loader,
    Preprocessing,
    ReferenceStatistics,
    Weights,
    from_json,
    to_json,
)

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_BUILD = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RESERVED = ("auto",)


def backbone(given: Any) -> Backbone:
    """The backbone with its field types made exact (lists become tuples).

    Raises `PluginError` that names the backbone and everything that is wrong with it.
    """
    if not isinstance(given, Backbone):
        raise PluginError(f"autotl_backbones returned a {type(given).__name__}, not a Backbone.")
    _check_contract("backbone", given)
    try:
        exact = from_json(Backbone, to_json(given))
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise PluginError(f"Backbone {given.name!r}: {error}.") from error
    _refuse("Backbone", exact.name, [*_named(exact.name, exact.kind), *_backbone(exact)])
    return exact


def loader(given: Any) -> Loader:
    """The loader as it was given; raises `PluginError` that says what is wrong with it."""
    if not isinstance(given, Loader):
        raise PluginError(f"autotl_loaders returned a {type(given).__name__}, not a Loader.")
    _check_contract("loader", given)
    texts = (given.name, given.kind, given.description)
    if not all(isinstance(text, str) for text in texts):
        raise PluginError(f"Loader {given.name!r}: name, kind and description must be text.")
    _refuse("Loader", given.name, [*_named(given.name, given.kind), *_loader(given)])
    return given


def _check_contract(what: str, given: Backbone | Loader) -> None:
    if given.contract != CONTRACT:
        raise PluginError(
            f"The {what} {given.name!r} follows contract {given.contract!r}, "
            f"and this autotl knows contract {CONTRACT}."
        )


def _refuse(what: str, name: str, problems: list[str]) -> None:
    if problems:
        raise PluginError(f"{what} {name!r}: {'; '.join(problems)}.")


def _named(name: str, kind: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield "the name must be letters, digits and . _ + -"
    if name.lower() in _RESERVED:
        yield f"the name '{name}' is reserved"
    if kind not in KINDS:
        yield f"kind {kind!r} is not known ({', '.join(KINDS)})"


def _loader(given: Loader) -> Iterator[str]:
    functions: dict[str, object] = {"matches": given.matches, "load": given.load}
    for field, function in functions.items():
        if not callable(function):
            yield f"{field} is not a function"
    if not given.description:
        yield "the description is empty"
    if unknown := [name for name in given.options if name not in COLUMNS]:
        yield f"the option {unknown[0]!r} is not known ({', '.join(COLUMNS)})"


def _backbone(given: Backbone) -> Iterator[str]:
    if not _BUILD.fullmatch(given.build):
        yield f"build {given.build!r} is not of the form package.module:function"
    if not given.stages or not all(given.stages):
        yield "stages must be names of layers, at least one"
    if len(set(given.stages)) != len(given.stages):
        yield "a stage is named twice"
    if given.parameters < 1:
        yield "parameters must be more than 0"
    for field in ("license", "source_domain"):
        if not getattr(given, field):
            yield f"{field} is empty"
    yield from _reasons(given)
    yield from _sizes(given.input_sizes)
    yield from _preprocessing(given.preprocessing, given.input_sizes)
    for weights in given.weights:
        yield from _weights(weights)
    if given.reference_statistics is not None:
        yield from _statistics(given.reference_statistics)


def _reasons(given: Backbone) -> Iterator[str]:
    for field in ("no_partial_freeze", "no_export"):
        reason = getattr(given, field)
        if reason and not reason.strip():
            yield f"{field} must say why, or be empty"


def _sizes(sizes: InputSizes) -> Iterator[str]:
    step = sizes.multiple_of
    if step < 1 or not 1 <= sizes.least <= sizes.default <= sizes.most:
        yield "input_sizes must hold 1 <= least <= default <= most and multiple_of >= 1"
    elif sizes.default % step:
        yield f"the default input size {sizes.default} is no multiple of {step}"


def _preprocessing(given: Preprocessing, sizes: InputSizes) -> Iterator[str]:
    if not sizes.least <= given.size <= sizes.most:
        yield f"preprocessing.size {given.size} is outside {sizes.least} to {sizes.most}"
    if not all(map(math.isfinite, (given.scale, *given.mean, *given.deviation))):
        yield "preprocessing must be of finite numbers"
    if given.scale == 0 or not all(value > 0 for value in given.deviation):
        yield "preprocessing needs a scale that is not 0 and deviations above 0"


def _statistics(given: ReferenceStatistics) -> Iterator[str]:
    if not _relative(given.file):
        yield f"reference statistics {given.file!r} are not a relative path"
    if not _SHA256.fullmatch(given.sha256):
        yield f"the sha256 of {given.file} is not 64 lower-case hexadecimal digits"
    if given.size < 1 or given.images < 2:
        yield f"the size of {given.file} must be more than 0, its images more than 1"


def _relative(file: str) -> bool:
    parts = file.replace("\\", "/").split("/")
    return bool(file) and ".." not in parts and bool(parts[0])


def _weights(given: Weights) -> Iterator[str]:
    if not _relative(given.file):
        yield f"weights file {given.file!r} is not a relative path"
    if given.sha256 is not None and not _SHA256.fullmatch(given.sha256):
        yield f"the sha256 of {given.file} is not 64 lower-case hexadecimal digits"
    if given.trained_at is not None and given.trained_at < 1:
        yield f"trained_at of {given.file} must be more than 0"
