"""Writes the documents of a run into its folder."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from autotl.files import file_ref, write_atomically
from autotl.records import ReportRecord, RunRecords
from autotl.report import abstaining
from autotl.report.benefits import sentence
from autotl.report.document import document


def write(run: RunRecords, folder: Path) -> ReportRecord:
    """Write `report.json` and `MODEL_CARD.md` into `folder`; returns the files by SHA-256."""
    report = document(run)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (("report.json", text), ("MODEL_CARD.md", model_card(report))):
        write_atomically(folder / name, partial(_write, content))
    return ReportRecord(
        report=file_ref(folder / "report.json", folder),
        card=file_ref(folder / "MODEL_CARD.md", folder),
    )


def _write(content: str, path: Path) -> None:
    path.write_text(content, "utf-8")


def model_card(report: dict[str, Any]) -> str:
    """The model card in Markdown, from the mapping that `document` gives."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autotl.report", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=False,
        autoescape=False,  # Markdown; `cell` escapes what a user named
        keep_trailing_newline=True,
    )
    environment.filters["figure"] = lambda value: f"{value:.3f}".rstrip("0").rstrip(".")
    environment.filters["cell"] = _cell
    environment.filters["benefits"] = sentence
    environment.filters["abstention"] = abstaining.sentence
    best = report["search"]["best"]["recipe"]
    stages = report["backbone"]["stages"]
    frozen = stages[best["boundary"] - 1] if best["boundary"] else ""
    read = [stages[tap - 1] for tap in best["taps"]] if len(best["taps"]) > 1 else []
    template = environment.get_template("MODEL_CARD.md.j2")
    return template.render(**report, best=best, frozen=frozen, read=read)


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
