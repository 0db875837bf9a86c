"""Figures as SVG, the same bytes from the same numbers; the only place that imports matplotlib.

No text of a user's or a plugin's is drawn: fonts lack letters, and matplotlib reads `$` as
mathematics. Names stand in the page beside the figure.
"""

from __future__ import annotations

import base64
import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

BLUE, ORANGE, GREEN, GREY, INK = "#0072b2", "#d55e00", "#009e73", "#8a8f98", "#24292f"
"""Colours that the colour-blind tell apart (Okabe and Ito)."""
WIDTH = 4.8
"""Inches; letters are then of a readable size on a telephone too."""

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.5,
    "grid.color": "#e4e7eb",
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "autotl",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_ONE = threading.Lock()


def drawn(draw: Callable[[Any], None], height: float) -> str:
    """A data URI of the SVG of what `draw` puts into a `matplotlib.figure.Figure` of `height`
    inches.
    """
    with _own_style():
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        out = io.BytesIO()
        about = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(out, format="svg", metadata=about)
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


@contextmanager
def _own_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's are, which come back at the end.

    Its log is kept silent: where the fonts' cache lies concerns nobody here.
    """
    log = logging.getLogger("matplotlib")
    with _ONE:
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            import matplotlib

            kept = {k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k}
            with matplotlib.rc_context(kept | _STYLE):
                yield
        finally:
            log.setLevel(level)
