"""What is known before anything is measured: counts, and the speed of a pass."""

from __future__ import annotations

from autotl.measure import size
from autotl.measure.similarity import unknown
from autotl.measure.size import Labels
from autotl.records import LoadRecord, LocatedBackbone, Measurements, Ranked, Speed, SplitRecord

STEP = 3.0
"""A training step over a forward pass: the backward pass costs about twice the forward one."""


def beforehand(
    located: LocatedBackbone, load: LoadRecord, split: SplitRecord, labels: Labels, speed: Ranked
) -> Measurements:
    """Measurements without probes and similarity, for a backbone whose pass was timed (`speed`) at
    some input size: seconds grow with the pixels, and fall evenly with the stages below a boundary.

    `labels` (train,) are those of the training rows. The boundary is in the middle.
    """
    stages = located.backbone.stages
    n = len(stages)
    forward = (speed.forward or 0.0) * (located.input_size / speed.input_size) ** 2
    return Measurements(
        backbone=located.backbone.name,
        input_size=located.input_size,
        stages=stages,
        pretrained=located.weights is not None,
        size=size.count(load, split, labels),
        similarity=unknown("nothing was measured yet"),
        probes=(),
        curve=(),
        tap=n,
        boundary=0 if located.backbone.no_partial_freeze else n // 2,
        parameters_above=(),
        orientation_matters=False,
        speed=Speed(
            forward=forward,
            train=STEP * forward,
            share_above=tuple(1 - k / n for k in range(n + 1)),
            fixed=speed.fixed,
        ),
        seconds=0.0,
        weights=located.weights_sha256,
        no_partial_freeze=located.backbone.no_partial_freeze,
    )
