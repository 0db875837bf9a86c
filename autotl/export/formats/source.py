"""What a format is made from, and the texts that lie beside what was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autotl.errors import ParityError
from autotl.export.asking import Subject
from autotl.export.card import KEY
from autotl.export.gate import Checked
from autotl.records import Split

README, CARD = "README.md", "card.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A finished run's model: its `name`, the exported `onnx` file, and as `subject` the Keras
    model with the rows that a format is judged on. `split` has the other rows.
    """

    name: str
    onnx: Path
    subject: Subject
    split: Split

    @property
    def classes(self) -> Sequence[str]:
        """The classes in the order of the probabilities."""
        return self.subject.dataset.classes


def write_card(source: Source, out: Path) -> None:
    """The card of the ONNX file as a file of its own, for what has no place for it."""
    (out / CARD).write_text(_card(source), "utf-8")


def _card(source: Source) -> str:
    import onnx

    model = onnx.load_model(source.onnx, load_external_data=False)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in notes:
        raise ParityError(f"{source.onnx} has no card.")
    return str(notes[KEY])


def _more(source: Source) -> list[str]:
    """What is true of this model and not of every one: an embedding, a threshold."""
    told, features = [], source.subject.features
    if features is not None:
        told += [
            "",
            f"It also gives `embedding`, float32 `[batch, {features}]`: what its head reads.",
        ]
    chosen = json.loads(_card(source)).get("abstention")
    if chosen is not None:
        told += [
            "",
            f"Where the largest probability is under {chosen['threshold']:.4f} no answer is to be "
            f"given (`abstention` in `{CARD}`); the lines above do not look at that.",
        ]
    return told


def write_readme(
    source: Source, out: Path, text: str, checked: Checked, remarks: Sequence[str] = ()
) -> None:
    """`text`, then what was checked with its figures, and what was not (`remarks`)."""
    parity, checks = checked
    figures = (
        f"Of {parity.examples:,} raw validation images {100 * parity.top1_agreement:.1f} % get the "
        "label that the trained Keras model gives them; the probabilities differ by "
        f"{parity.median_difference:.1e} at the median and {parity.largest_difference:.1e} at most."
    )
    lines = [
        text.strip(),
        *_more(source),
        "",
        "## What was checked",
        "",
        figures,
        "",
        *(f"- {check}" for check in checks),
    ]
    if remarks:
        lines += ["", "## What was not", "", *(f"- {remark}" for remark in remarks)]
    (out / README).write_text("\n".join(lines) + "\n", "utf-8")
