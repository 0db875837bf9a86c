"""The frozen dataclasses that pass between rooms, to plugins, and into the journal.

All of them but `Dataset` and `Loader` (which hold callables) round-trip through JSON by
`to_json` and `from_json`. Big arrays and weights are files, named by `FileRef`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from autotl.records.contract import (
    Backbone,
    Dataset,
    InputSizes,
    Loader,
    Preprocessing,
    ReferenceStatistics,
    Weights,
)
from autotl.records.data import (
    FileRef,
    LoadRecord,
    LocatedBackbone,
    SetAside,
    Split,
    SplitRecord,
    StoredPixels,
)
from autotl.records.measured import (
    Budget,
    CurvePoint,
    Decision,
    Foreseen,
    Measurements,
    Prediction,
    Probe,
    Ranked,
    Ranking,
    RunEstimate,
    Similarity,
    Size,
    Speed,
)
from autotl.records.results import (
    Abstention,
    Bin,
    ClassScore,
    CopyGroup,
    Delivered,
    Evaluation,
    Export,
    Interval,
    Mistake,
    Pace,
    Parity,
    Pictured,
    Pictures,
    Quantised,
    ReportRecord,
    RunRecords,
    Suspect,
)
from autotl.records.trials import Head, Ledger, Numbers, Recipe, SearchRecord, Trial, TrialResult
from autotl.records.verified import AbstentionScore, Scores, Verified, VerifiedData
from autotl.records.words import (
    COLUMNS,
    CONTRACT,
    KINDS,
    METRICS,
    SPLITS,
    STRATEGIES,
    Metric,
    Strategy,
    is_nothing,
    names,
)

R = TypeVar("R")


def to_json(record: Any) -> Any:
    """The record as JSON-ready builtins (tuples become lists)."""
    return msgspec.to_builtins(record)


def from_json(cls: type[R], data: Any) -> R:
    """The record of class `cls` that `to_json` gave; raises `msgspec.ValidationError`."""
    return msgspec.convert(data, cls)


__all__ = [
    "Abstention",
    "Backbone",
    "Bin",
    "Budget",
    "COLUMNS",
    "CONTRACT",
    "AbstentionScore",
    "ClassScore",
    "CopyGroup",
    "CurvePoint",
    "Dataset",
    "Decision",
    "Delivered",
    "Evaluation",
    "Export",
    "FileRef",
    "Foreseen",
    "Head",
    "InputSizes",
    "Interval",
    "KINDS",
    "Ledger",
    "LoadRecord",
    "Loader",
    "LocatedBackbone",
    "METRICS",
    "Measurements",
    "Metric",
    "Mistake",
    "Numbers",
    "Pace",
    "Parity",
    "Pictured",
    "Pictures",
    "Prediction",
    "Preprocessing",
    "Probe",
    "Quantised",
    "Ranked",
    "Ranking",
    "Recipe",
    "ReferenceStatistics",
    "ReportRecord",
    "RunEstimate",
    "RunRecords",
    "SPLITS",
    "STRATEGIES",
    "Scores",
    "SearchRecord",
    "SetAside",
    "Similarity",
    "Size",
    "Speed",
    "Split",
    "SplitRecord",
    "StoredPixels",
    "Strategy",
    "Suspect",
    "Trial",
    "TrialResult",
    "Verified",
    "VerifiedData",
    "Weights",
    "from_json",
    "is_nothing",
    "names",
    "to_json",
]
