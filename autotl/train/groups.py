"""Trained variables in groups that share a learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autotl import model
from autotl.records import Numbers
from autotl.train.job import Job

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trained variables, by their places, that share a learning rate; `stage` None is the head."""

    places: tuple[int, ...]
    stage: int | None


def groups(trainable: keras.Model, net: keras.Model | None, job: Job) -> tuple[Group, ...]:
    """The head, then the stages: together, or one by one where their rates differ."""
    head = {id(v) for v in trainable.get_layer(model.HEAD).trainable_variables}
    places: dict[int | None, list[int]] = {None: []}
    stage_of = _stages(net, job) if net is not None else {}
    for place, variable in enumerate(trainable.trainable_variables):
        inside = id(variable) in head
        stage = None if inside else stage_of[id(variable)]
        places.setdefault(stage, []).append(place)
    return tuple(Group(places=tuple(found), stage=stage) for stage, found in places.items())


def _stages(net: keras.Model, job: Job) -> dict[int, int]:
    """The stage that each trained variable belongs to; the last trained one for all of them
    where their rates are the same.
    """
    last = job.recipe.last
    if job.recipe.numbers.layer_decay == 1.0:
        return {id(v): last for v in net.trainable_variables}
    found: dict[int, int] = {}
    for stage in range(last, 0, -1):
        for name in model.layers_up_to(net, job.stages, stage):
            found |= {id(v): stage for v in net.get_layer(name).trainable_variables}
    return found


def factor(group: Group, numbers: Numbers, last: int, head_alone: bool) -> float:
    """What the learning rate of the head is multiplied by for the group."""
    if group.stage is None:
        return 1.0
    if head_alone:
        return 0.0
    return float(numbers.backbone_rate * numbers.layer_decay ** (last - group.stage))
