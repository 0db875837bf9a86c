"""`report.html`: one file without network or script, from `report.json` and thumbnails."""

from autotl.report.page.rendering import brief, inspected, page

__all__ = ["brief", "inspected", "page"]
