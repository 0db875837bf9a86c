"""What was asked for: the options of `fit` and `inspect`, checked before anything is opened."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from autotl.errors import UsageError
from autotl.records import METRICS, STRATEGIES, Budget, Metric, Strategy

DEFAULT_SECONDS = 600.0
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


def seconds(duration: str | float) -> float:
    """Seconds of a duration such as 90, "90s", "10m", "1h30m"; raises `UsageError`."""
    if isinstance(duration, int | float):
        parts = [(str(duration), "s")]
    else:
        text = duration.strip().lower()
        parts = _DURATION.findall(text)
        units = [unit for _, unit in parts]
        clear = len(parts) == 1 or ("" not in units and len(set(units)) == len(units))
        if not parts or not clear or _DURATION.sub("", text).strip():
            raise UsageError(
                f"'{duration}' is not a duration.", hint="Write it like 90s, 10m, 1h or 1h30m."
            )
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not 0 < total < float("inf"):
        raise UsageError(f"A budget must be more than nothing, not '{duration}'.")
    return total


def budget_of(budget: str | float | None, trials: int | None) -> Budget:
    """The budget: both limits as given; ten minutes where neither is."""
    if trials is not None and trials < 1:
        raise UsageError(f"--trials must be at least 1, not {trials}.")
    if budget is None:
        return Budget(seconds=None if trials else DEFAULT_SECONDS, trials=trials)
    return Budget(seconds=seconds(budget), trials=trials)


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
    trials: int | None = None,
    seed: int = 0,
    strategy: str | None = None,
    backbone: str = "auto",
    loader: str | None = None,
    metric: str = "accuracy",
    tensorboard: bool = False,
    weights: str | None = None,
    disabled_plugins: Sequence[str] = (),
) -> Request:
    """The checked options; raises `UsageError` for values that cannot be meant."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must be between 0 and {2**32 - 1}, not {seed}.")
    chosen = None if strategy in (None, "auto") else one_of(str(strategy), STRATEGIES, "strategy")
    return Request(
        data=data,
        budget=budget_of(budget, trials),
        seed=seed,
        strategy=chosen,  # type: ignore[arg-type]
        backbone=backbone,
        loader=loader,
        metric=one_of(metric, METRICS, "metric"),  # type: ignore[arg-type]
        tensorboard=tensorboard,
        weights=weights,
        disabled_plugins=tuple(disabled_plugins),
    )
