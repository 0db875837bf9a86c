"""How fast a variant of a file runs beside it on this machine: both timed in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autotl.export.asking import BATCH, Subject
from autotl.export.graph import IMAGE, PROBABILITIES
from autotl.pixels import decode, resize
from autotl.records import Interval, Pace

if TYPE_CHECKING:
    from onnxruntime import InferenceSession as Session

Run = Callable[[NDArray[np.uint8]], object]

CONFIDENCE = 0.95
PAIRS = 41
"""Turns that are timed; the median's interval is then the 14th to the 28th ratio."""
LEAST_SECONDS = 0.02
"""A turn's length at least: runs are repeated within it, so that the clock does not decide."""
MOST_SECONDS = 20.0
"""Time after which no further turn begins, once there are `FEWEST` of them."""
FEWEST = 9


def paces(sessions: Sequence[Session], subject: Subject) -> tuple[Pace, ...]:
    """The model and its variant, in this order, at one image as it is in its file (the first row),
    and at a batch of it resized.
    """
    model, variant = (
        lambda images, session=session: session.run([PROBABILITIES], {IMAGE: images})
        for session in sessions
    )
    image = decode(subject.dataset.read(subject.rows[0]))
    small = resize(image, subject.preprocessing.size, subject.preprocessing.resize)
    batches = (image[None], np.stack([small] * BATCH))
    return tuple(pace(model, variant, images) for images in batches)


def pace(model: Run, variant: Run, images: NDArray[np.uint8]) -> Pace:
    """Time both on the same batch, run by run, in changing order.

    The interval is that of the median ratio by order statistics, which a few disturbed turns do
    not move; what slows the machine for longer than a run slows both.
    """
    from scipy.stats import quantile_test

    for run in (model, variant):
        run(images)
    started = time.perf_counter()
    model(images)
    # an even number, as whichever comes second may find the machine otherwise
    repeats = 2 * math.ceil(LEAST_SECONDS / 2 / max(time.perf_counter() - started, 1e-6))
    turns: list[NDArray[np.float64]] = []
    end = time.monotonic() + MOST_SECONDS
    while len(turns) < PAIRS and (len(turns) < FEWEST or time.monotonic() < end):
        taken = np.zeros(2)
        for number in range(repeats):
            for which in (0, 1) if number % 2 else (1, 0):
                began = time.perf_counter()
                (model, variant)[which](images)
                taken[which] += time.perf_counter() - began
        turns.append(taken / repeats)
    seconds = np.stack(turns)
    ratios = seconds[:, 0] / seconds[:, 1]
    found = quantile_test(ratios, q=1.0, p=0.5).confidence_interval(CONFIDENCE)
    return Pace(
        batch=len(images),
        ratio=Interval(
            value=float(np.median(ratios)), low=float(found.low), high=float(found.high)
        ),
        seconds=float(np.median(seconds[:, 1])),
        seconds_float=float(np.median(seconds[:, 0])),
    )


def said(pace: Pace) -> str:
    """A pace in words."""
    ratio = pace.ratio
    faster = "faster" if ratio.low > 1 else "not shown to be faster"
    images = "one raw image" if pace.batch == 1 else f"{pace.batch} resized images"
    return (
        f"{faster} on {images}: {ratio.value:.2f} times as fast "
        f"[{ratio.low:.2f}, {ratio.high:.2f}] in turns "
        f"(medians {1000 * pace.seconds:.1f} ms against {1000 * pace.seconds_float:.1f} ms)"
    )
