"""What abstaining comes to, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CHOSEN = " with 95 % confidence, a little flattered since they chose the model too"


def sentence(chosen: Mapping[str, Any]) -> str:
    """On the `abstention` of `report.json`: the threshold and what it gives on test rows."""
    target = f"{100 * chosen['target_precision']:.4g} %"
    bound = f"{100 * chosen['bound']:.1f} %"
    if chosen["threshold"] is None:
        return (
            f"No confidence was found above which {target} of the answers are right: on the "
            f"validation images it can be said of {bound} at best (with 95 % confidence). More "
            "validation images, or a lower target, may do."
        )
    if chosen["threshold"] == 0:
        return (
            f"It need not abstain for {target} right answers: of all validation images at least "
            f"{bound} are right{_CHOSEN}."
        )
    answered = _share(chosen["coverage"])
    precision = chosen["precision"]
    right = "" if precision is None else f", of which {_share(precision)} are right"
    return (
        f"`predict` and `serve_example.py` give no answer under a confidence of "
        f"{chosen['threshold']:.3f}, which was chosen on validation images for {target} right "
        f"answers (at least {bound} there{_CHOSEN}). Of the test images {answered} are "
        f"answered{right}."
    )


def _share(figure: Mapping[str, float]) -> str:
    return (
        f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"
    )
