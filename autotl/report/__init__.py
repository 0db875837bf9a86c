"""Records in, documents out: `report.json`, `MODEL_CARD.md` and the terminal's summary."""

from autotl.report.document import decided, document, foretold
from autotl.report.writing import write

__all__ = ["decided", "document", "foretold", "write"]
