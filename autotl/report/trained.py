"""How far a training by epochs came, and what cut it short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NOTHING = "nothing trained: the time was up before the first step"
_ENDED = {"deadline": ", cut by the budget", "patience": ", ended for want of improvement"}


def made(history: Iterable[Mapping[str, float]] | None) -> int | None:
    """Epochs of at least one step in a trial's history; None where its head was fitted in one go,
    or there is none.
    """
    stepped = [one for one in history or () if "epoch" in one]
    return sum("train-loss" in one for one in stepped) if stepped else None


def untrained(trial: Mapping[str, Any]) -> bool:
    """Whether a trial of the ledger was to be trained by epochs and was not for a single step:
    what it scored is then its start's score.
    """
    return made(trial["history"]) == 0


def shortened(trial: Mapping[str, Any]) -> str:
    """What of a trial of the ledger was not trained, in words: "5 of 14 epochs, cut by the
    budget"; "" where nothing was left out.
    """
    done, planned = made(trial["history"]), trial["recipe"]["numbers"]["epochs"]
    if done is None:
        return ""
    if not done:
        return NOTHING
    why = _ENDED.get(trial.get("stopped") or "", "")
    if done < planned:
        return f"{done} of {planned} epochs{why}"
    return f"the last of {planned} epochs{why}" if trial.get("stopped") == "deadline" else ""
