"""Writes the documents of a run into its folder."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from autotl.files import file_ref, write_atomically
from autotl.records import FileRef, ReportRecord, RunRecords
from autotl.report import abstaining
from autotl.report.benefits import sentence
from autotl.report.document import document
from autotl.report.page import page

PAGE = "report.html"
_log = logging.getLogger("autotl")

_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Kinds of letters that set the direction of those after them."""


def write(run: RunRecords, folder: Path) -> ReportRecord:
    """Write `report.json`, `MODEL_CARD.md` and `report.html` into `folder`; returns the files by
    SHA-256. A page that cannot be made is warned of and left out.
    """
    text = json.dumps(document(run), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    report = json.loads(text)
    for name, content in (("report.json", text), ("MODEL_CARD.md", model_card(report))):
        write_atomically(folder / name, partial(_write, content))
    return ReportRecord(
        report=file_ref(folder / "report.json", folder),
        card=file_ref(folder / "MODEL_CARD.md", folder),
        page=_written(report, folder),
    )


def _written(report: Mapping[str, Any], folder: Path) -> FileRef | None:
    try:
        content = page(report, folder)
    except Exception as error:  # matplotlib's, say; the model is there, and the page can be later
        told = f"{type(error).__name__}: {error}".rstrip(": .")
        again = f"autotl report {quote(str(folder))}"
        _log.warning("%s could not be made: %s. Once that is mended: %s", PAGE, told, again)
        _log.debug("where that was", exc_info=True)
        return None
    return file_ref(write_atomically(folder / PAGE, partial(_write, content)), folder)


def render(report: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html` into the run's `folder`, from `report.json` as a mapping: the same bytes
    from the same report and thumbnails.
    """
    return write_atomically(folder / PAGE, partial(_write, page(report, folder)))


def _write(content: str, path: Path) -> None:
    path.write_text(content, "utf-8", errors="backslashreplace", newline="\n")


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
    text = template.render(**report, best=best, frozen=frozen, read=read)
    return "".join(letter if letter == "\n" else _seen(letter) for letter in text)


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())


def _seen(letter: str) -> str:
    """The letter, or an escape for what would steer a terminal or turn what follows around."""
    steers = unicodedata.category(letter) == "Cc" or unicodedata.bidirectional(letter) in _TURNS
    return letter.encode("unicode_escape").decode() if steers else letter
