"""How far a training is, and what share of the learning rate that gives."""

from __future__ import annotations

import math


def position(step: int, total: int, elapsed: float, deadline: float | None) -> float:
    """Share of the training that is over, 0 to 1: of its steps or of its seconds, the larger.

    Because time counts too, a training that a deadline cuts short has annealed by then.
    """
    by_time = elapsed / deadline if deadline else float(deadline is not None)
    return min(1.0, max(step / total, by_time))


def rate(at: float, warmup: float) -> float:
    """Share of the peak learning rate at position `at`: linear up to `warmup`, then a half cosine.

    1 at `warmup`, 0 at the end; both arguments lie within 0 to 1.
    """
    if at < warmup:
        return at / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (at - warmup) / (1.0 - warmup))) if warmup < 1 else 1.0
