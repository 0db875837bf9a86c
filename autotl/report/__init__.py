"""Records in, documents: `report.json`, `report.html`, `MODEL_CARD.md`, the terminal's lines."""

from autotl.report.document import SCHEMA, decided, document, foretold
from autotl.report.gallery import pictured
from autotl.report.page import brief, inspected
from autotl.report.writing import render, write

__all__ = [
    "SCHEMA",
    "brief",
    "decided",
    "document",
    "foretold",
    "inspected",
    "pictured",
    "render",
    "write",
]
