"""Which of two backbones a run should take, by the rows of `strategies.py` (pure).

The pairs are a set's examples and seed, with which both backbones were trained. What is lost is
what the engine's choice with the taken backbone has less test accuracy than with the other one.
`largest` takes the one with the most parameters; `probe` another one where its probe of the last
stage is better by more than so many standard errors, as `--backbone auto` does with `CLEARLY`
(unpaired here, and on more rows: the rows hold no answers of probes); `both` trains both and keeps
the higher validation score (Renggli 2020), at the cost of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from choices import Way
from trained import Run

from autotl.decide.features import odds
from autotl.measure.ranking import CLEARLY
from autotl.records import Probe

Pair = tuple[Run, Run]
"""The run of the backbone with more parameters first."""


def pairs(found: Sequence[Run]) -> list[Pair]:
    """Runs of the same examples with two backbones."""
    groups: dict[tuple[str, int, int], list[Run]] = {}
    for run in found:
        groups.setdefault((run.data, run.limit, run.seed), []).append(run)
    sizes = (sorted(group, key=_parameters, reverse=True) for group in groups.values())
    return [(group[0], group[1]) for group in sizes if len(group) == 2]


def _parameters(run: Run) -> int:
    return run.measured.parameters_above[0]


def _probe(run: Run) -> Probe:
    """The pretrained one of the last stage."""
    last = run.measured.stages[-1]
    return next(one for one in run.measured.probes if one.pretrained and one.stage == last)


def by_probe(pair: Pair, errors_apart: float) -> Run:
    """The smaller one only where its probe is better by more than so many standard errors."""
    largest, other = (_probe(run) for run in pair)
    pair_of = (largest, other)
    error = math.sqrt(sum(one.linear * (1 - one.linear) / one.examples for one in pair_of))
    return pair[1] if other.linear - largest.linear > errors_apart * error else pair[0]


def table(found: Sequence[Run], way: Way) -> str:
    """Markdown: points of test accuracy that each manner loses to the better of two backbones."""
    there = pairs(found)
    if not there:
        return "No examples have been trained with two backbones yet."
    chosen = {id(run): way(run).strategy for pair in there for run in pair}

    def accuracy(run: Run) -> float:
        return 100 * run.accuracy(chosen[id(run)])

    def validated(pair: Pair) -> Run:
        return max(pair, key=lambda run: float(run.row(chosen[id(run)])["validation"]))

    manners: Mapping[str, Callable[[Pair], Run]] = {
        "largest": lambda pair: pair[0],
        "probe, 0": partial(by_probe, errors_apart=0.0),
        "probe, 1": partial(by_probe, errors_apart=1.0),
        f"probe, {CLEARLY:g}": partial(by_probe, errors_apart=CLEARLY),
        "both": validated,
    }
    lines = [
        "| examples (pairs) | largest is the better | "
        + " | ".join(f"{name}: points lost" for name in manners)
        + " | log odds of probes apart, correlation with those of accuracy |",
        "|---:|---:|" + "---:|" * (len(manners) + 1),
    ]
    for limit in sorted({pair[0].limit for pair in there}):
        some = [pair for pair in there if pair[0].limit == limit]
        best = [max(accuracy(run) for run in pair) for pair in some]
        better = np.mean([accuracy(a) >= accuracy(b) for a, b in some])
        lost = [
            np.mean([top - accuracy(take(pair)) for top, pair in zip(best, some, strict=True)])
            for take in manners.values()
        ]
        figures = " | ".join(f"{one:.2f}" for one in lost)
        lines.append(
            f"| {limit:,} ({len(some)}) | {better:.0%} | {figures} | {_together(some, accuracy)} |"
        )
    return "\n".join(lines)


def _together(some: Sequence[Pair], accuracy: Callable[[Run], float]) -> str:
    """Whether what the probes lie apart goes with what the trained models lie apart."""
    if len(some) < 3:
        return "–"
    probes = [np.subtract(*[odds(_probe(r).linear, _probe(r).examples) for r in p]) for p in some]
    reached = [np.subtract(*[odds(accuracy(r) / 100, 2000) for r in p]) for p in some]
    return f"{np.corrcoef(probes, reached)[0, 1]:+.2f}"
