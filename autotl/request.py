"""What was asked for: the options of `fit` and `inspect`, checked before anything is opened."""

from __future__ import annotations

import difflib
import operator
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, SupportsIndex, TypeVar, get_args

from autotl.errors import UsageError
from autotl.records import COLUMNS, METRICS, STRATEGIES, Budget, Metric, Strategy

T = TypeVar("T")
Resize = Literal["squash", "crop"]

RESIZES = get_args(Resize)
DEFAULT_SECONDS = 600.0
_RATE = "--learning-rate"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one run, as `run.json` keeps them. `data` is a path or a built-in name;
    None where arrays were given through the Python API.
    """

    data: str | None
    budget: Budget
    seed: int = 0
    strategy: Strategy | None = None
    backbone: str = "auto"
    loader: str | None = None
    metric: Metric = "accuracy"
    tensorboard: bool = False
    weights: str | None = None
    disabled_plugins: tuple[str, ...] = ()
    input_size: int | None = None
    frozen: str | None = None
    tap: str | None = None
    learning_rate: float | None = None
    resize: Resize | None = None
    target_precision: float | None = None
    embedding: bool = False
    int8: bool = False
    int8_points: float = 1.0
    float16: bool = False
    input_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    split_column: str | None = None


def loader_options(asked: Request) -> dict[str, str]:
    """What loaders are told of a request: the loader and the columns that were named."""
    return named_options(loader=asked.loader, **{name: getattr(asked, name) for name in COLUMNS})


def named_options(**given: str | None) -> dict[str, str]:
    """Those of the options that are given, as checked text."""
    return {name: _text(value, name) for name, value in given.items() if value is not None}


def seconds(duration: str | float) -> float:
    """Seconds of a duration such as 90, "90s", "10m", "1h30m"; raises `UsageError`."""
    total = _parsed(duration) if isinstance(duration, str) else _number(duration)
    if not 0 < total < float("inf"):
        raise UsageError(f"A budget must be more than nothing, not '{duration}'.")
    return total


def typed(total: float) -> str:
    """Seconds as one would type them, which `seconds` reads: "90s", "14m", "1h30m"."""
    if total < 120 or total % 60:
        return f"{total:.10g}s"
    hours, rest = divmod(round(total / 60), 60)
    return "".join([f"{hours}h" if hours else "", f"{rest}m" if rest else ""])


def _parsed(duration: str) -> float:
    text = duration.strip().lower()
    parts = _DURATION.findall(text)
    units = [unit for _, unit in parts]
    clear = len(parts) == 1 or ("" not in units and len(set(units)) == len(units))
    if not parts or not clear or _DURATION.sub("", text).strip():
        raise _no_duration(duration)
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)


def _number(duration: float) -> float:
    try:
        return float(duration)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_duration(duration) from error


def _no_duration(duration: object) -> UsageError:
    return UsageError(
        f"{duration!r} is not a duration.",
        hint="Write it like 90s, 10m, 1h or 1h30m, or give seconds.",
    )


def budget_of(budget: str | float | None, trials: SupportsIndex | None) -> Budget:
    """The budget: both limits as given; ten minutes where neither is."""
    most = None if trials is None else _whole(trials, "trials")
    if most is not None and most < 1:
        raise UsageError(f"--trials must be at least 1, not {most}.")
    if budget is None:
        return Budget(seconds=None if most else DEFAULT_SECONDS, trials=most)
    return Budget(seconds=seconds(budget), trials=most)


def one_of(value: str, choices: Sequence[str], what: str) -> str:
    """The choice that `value` names, without regard to case; `UsageError` with the nearest else."""
    for choice in choices:
        if choice.lower() == value.lower():
            return choice
    near = difflib.get_close_matches(value.lower(), [c.lower() for c in choices], n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    raise UsageError(f"There is no {what} '{value}'.{guess}", hint=f"Known: {', '.join(choices)}.")


def request(
    *,
    data: str | None,
    budget: str | float | None = None,
    trials: SupportsIndex | None = None,
    seed: SupportsIndex = 0,
    strategy: str | None = None,
    backbone: str = "auto",
    loader: str | None = None,
    metric: str = "accuracy",
    tensorboard: bool = False,
    weights: str | os.PathLike[str] | None = None,
    disabled_plugins: Sequence[str] = (),
    input_size: SupportsIndex | None = None,
    frozen: str | None = None,
    tap: str | None = None,
    learning_rate: float | None = None,
    resize: str | None = None,
    target_precision: float | None = None,
    embedding: bool = False,
    int8: bool = False,
    int8_points: float = 1.0,
    float16: bool = False,
    input_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
) -> Request:
    """The checked options, in plain types that `run.json` can hold; raises `UsageError` for
    values that cannot be meant.
    """
    chosen = None if strategy in (None, "auto") else one_of(str(strategy), STRATEGIES, "strategy")
    return Request(
        data=None if data is None else _text(data, "data"),
        budget=budget_of(budget, trials),
        seed=_seed(seed),
        strategy=chosen,  # type: ignore[arg-type]
        backbone=_text(backbone, "backbone"),
        loader=None if loader is None else _text(loader, "loader"),
        metric=one_of(_text(metric, "metric"), METRICS, "metric"),  # type: ignore[arg-type]
        weights=None if weights is None else _path(weights, "weights"),
        disabled_plugins=_names(disabled_plugins, "disabled_plugins"),
        input_size=None if input_size is None else _side(input_size),
        frozen=_of_strategy("--frozen", _name(frozen, "frozen"), chosen, ("partial-freeze",)),
        tap=_of_strategy("--tap", _name(tap, "tap"), chosen, ("feature-extraction",)),
        learning_rate=_within(_RATE, _of_strategy(_RATE, learning_rate, chosen, STRATEGIES[1:]), 1),
        resize=None if resize is None else one_of(_text(resize, "resize"), RESIZES, "resize"),  # type: ignore[arg-type]
        target_precision=_within("--target-precision", target_precision, 1),
        int8_points=_points(int8_points, _switch(int8, "int8")),
        **_switches(embedding=embedding, int8=int8, float16=float16, tensorboard=tensorboard),
        **_columns(input_column, label_column, group_column, split_column),
    )


def _seed(value: SupportsIndex) -> int:
    seed = _whole(value, "seed")
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must be between 0 and {2**32 - 1}, not {seed}.")
    return seed


def _switches(**given: object) -> dict[str, Any]:
    return {option: _switch(value, option) for option, value in given.items()}


def _columns(*given: object) -> dict[str, Any]:
    """Names of columns in the order of `COLUMNS`."""
    return {option: _name(value, option) for option, value in zip(COLUMNS, given, strict=True)}


def _name(value: object, option: str) -> str | None:
    return None if value is None else _text(value, option)


def _side(value: SupportsIndex) -> int:
    side = _whole(value, "input_size")
    if side < 1:
        raise UsageError(f"--input-size must be at least 1 pixel, not {side}.")
    return side


def _of_strategy(
    option: str, value: T | None, strategy: str | None, allowed: Sequence[str]
) -> T | None:
    """The value, where the strategy that it belongs to was named too; `UsageError` else."""
    if value is None or strategy in allowed:
        return value
    named = " or ".join(allowed)
    if strategy is None:
        raise UsageError(
            f"{option} says nothing without the strategy that it is for.",
            hint=f"Add --strategy {named}.",
        )
    raise UsageError(f"{option} is for --strategy {named}, not for {strategy}.")


def _within(option: str, value: float | None, most: int) -> float | None:
    """The number, which must lie between 0 and `most` and be neither."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{option} must be a number, not {value!r}.") from error
    if not 0 < number < most:
        raise UsageError(f"{option} must be between 0 and {most}, not {value}.")
    return number


def _points(value: float, int8: bool) -> float:
    points = _within("--int8-points", value, 100) or 1.0
    if points != 1.0 and not int8:
        raise UsageError("--int8-points says nothing without --int8.", hint="Add --int8.")
    return points


def _whole(value: SupportsIndex, option: str) -> int:
    try:
        return int(operator.index(value))
    except TypeError as error:
        raise UsageError(f"{option} must be a whole number, not {value!r}.") from error


def _text(value: object, option: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{option} must be text, not {value!r}.")
    if not value.strip():
        raise UsageError(f"{option} is empty.", hint="Name it, or leave the option out.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{option} is {value!r}, which is not UTF-8, so that run.json cannot hold it.",
            hint="Rename the file or folder.",
        ) from error
    return str(value)


def _path(value: object, option: str) -> str:
    """The absolute path: a run may be resumed from another folder."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{option} must be a path, not {value!r}.")
    path = Path(_text(os.fspath(value), option))
    try:
        return str(path.expanduser().absolute())
    except RuntimeError as error:
        raise UsageError(f"{option} is {str(path)!r}: {error}") from error


def _switch(value: object, option: str) -> bool:
    if value not in (True, False):
        raise UsageError(f"{option} must be True or False, not {value!r}.")
    return bool(value)


def _names(values: object, option: str) -> tuple[str, ...]:
    given = [values] if isinstance(values, str) else values
    if not isinstance(given, Iterable):
        raise UsageError(f"{option} must be names, not {values!r}.")
    return tuple(_text(value, option) for value in given)
