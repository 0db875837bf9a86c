"""The coefficients as a record, and where they come from."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable

import msgspec

from autotl.errors import InternalError
from autotl.records import Strategy, from_json

SCHEMA = "autotl-coefficients/4"
FILE = "coefficients.json"
TRAINER = (
    "train",
    "model",
    "folds.py",
    "records/trials.py",
    "measure/depth.py",
    "measure/together.py",
)
"""The rooms and modules that train what the coefficients predict."""
MEASURER = (
    "activations/passes.py",
    "measure/domain.py",
    "measure/measuring.py",
    "measure/probes.py",
    "measure/sample.py",
    "measure/similarity.py",
    "measure/size.py",
    "measure/speed.py",
    "pixels.py",
    "decide/features.py",
    "decide/prediction.py",
)
"""The modules that make what they predict it from, from an image on."""

_QUIET = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_SIGNS = {tokenize.INDENT: "{", tokenize.DEDENT: "}", tokenize.NEWLINE: ";"}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Mean, deviation and range of one feature over the table; beyond it nothing is known."""

    name: str
    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was fitted for one strategy.

    Log odds of its test accuracy over those of its reference probe are `intercept` + `weights`
    times the standardised features; `deviation` is the standard error of that for data never
    seen, widened for the number of data sets. Seconds are those of exp(`passes[0]` + `passes[1]`
    * log(examples)) passes over the training rows for each epoch of the recipe; `examples` is the
    range they hold for.
    """

    intercept: float
    weights: tuple[float, ...]
    deviation: float
    passes: tuple[float, float]
    examples: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """From so many training `examples` on, a strategy did better by `factor` times the learning
    rate of its default recipe, with one backbone.
    """

    backbone: str
    strategy: Strategy
    examples: int
    factor: float


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From where on data is much (training examples a class), and near: by similarity, and by the
    gap of the probes where there is no similarity.
    """

    per_class: float
    similarity: float
    gap: float


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """How a later trainer compares with that of the rows (`rows`, its digest) on `trainings` that
    were repeated: mean difference of test accuracy, its standard error, and the largest one.
    """

    rows: str
    trainings: int
    mean: float
    error: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Everything fitted, and what it was fitted on. `pairs["a b"]` is the standard error of the
    difference between two strategies; `code` the digest of the trainer that they hold for, which
    made the rows or where there is a `confirmation` was compared with that, and `measurer` of the
    code that measures, which gave the figures of the rows again (`benchmarks/remeasured.py`; empty:
    not known); `backbones` maps names to the SHA-256 of their weights. `doubling` is the log odds
    of accuracy that a strategy gains from twice the input size, where the images have it
    (`benchmarks/sizes.py`). `generalist` is the strategy that did best in the mean over data sets,
    `rates` what is known of learning rates (`benchmarks/variants.py`).
    """

    schema: str
    provisional: bool
    code: str
    backbones: dict[str, str]
    data: tuple[str, ...]
    rows: int
    machine: str
    features: tuple[Scale, ...]
    strategies: dict[str, Line]
    pairs: dict[str, float]
    thresholds: Thresholds
    generalist: Strategy
    rates: tuple[Rate, ...] = ()
    confirmation: Confirmation | None = None
    measurer: str = ""
    doubling: dict[str, float] = field(default_factory=dict)


@functools.cache
def shipped() -> tuple[Coefficients, str]:
    """The coefficients of the package, and the digest (12 hex digits) of their file.

    Raises `InternalError` where they are missing or damaged.
    """
    file = resources.files("autotl") / "decide" / FILE
    if not file.is_file():
        raise InternalError(
            f"This copy of autotl came without {FILE}, by which it decides.",
            hint="Install it again, or make the file with benchmarks/coefficients.py.",
        )
    content = file.read_bytes()
    try:
        found = from_json(Coefficients, json.loads(content))
    except (ValueError, msgspec.ValidationError) as error:
        raise InternalError(f"{FILE}, by which autotl decides, is damaged: {error}") from error
    if found.schema != SCHEMA:
        raise InternalError(f"{FILE} is of schema {found.schema}, not {SCHEMA}.")
    return found, hashlib.sha256(content).hexdigest()[:12]


def trainer_digest() -> str:
    """SHA-256 (hex) over the code that trains: comments, docstrings and layout do not count."""
    return _digest(TRAINER)


def measurer_digest() -> str:
    """As `trainer_digest`, over the code that measures what predictions are made from."""
    return _digest(MEASURER)


@functools.cache
def _digest(rooms: tuple[str, ...]) -> str:
    root = resources.files("autotl")
    digest = hashlib.sha256()
    for room in rooms:
        for file in _modules(root / room):
            digest.update(f"{room}/{file.name}\n".encode())
            digest.update("".join(code_of(file.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()


def _modules(folder: Traversable) -> Iterable[Traversable]:
    if folder.is_file():
        return [folder]
    found = (file for file in folder.iterdir() if file.name.endswith(".py"))
    return sorted(found, key=lambda file: file.name)


def code_of(source: str) -> Iterator[str]:
    """The tokens of a module that matter, without white space, the same on every Python."""
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _QUIET:
            continue
        if token.type in _SIGNS:
            docstring = len(statement) == 1 and statement[0].type == tokenize.STRING
            if statement and not docstring:
                yield "".join("".join(one.string.split()) for one in statement)
            if token.type != tokenize.NEWLINE or (statement and not docstring):
                yield _SIGNS[token.type]
            statement = []
        else:
            statement.append(token)
