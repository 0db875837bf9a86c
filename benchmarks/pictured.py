"""What does `report.html` look like? The README's picture, from a run's folder.

    python benchmarks/pictured.py RUN [--out .github/report.png]

Parts of the page side by side, as the machine's Chromium shows them; at most 300 kB.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT, GAP = 640, 1590, 24
COLUMNS = (
    (("header", HEIGHT),),
    (("#stages", 410), ("#confused", HEIGHT - 410)),
    (("#mistakes", 790), ("#doubts", HEIGHT - 790 - 460), ("#next", 460)),
)
"""Where the parts of each column begin in the page, and how many pixels of them are shown."""
MOST_BYTES = 300_000
PAPER = (216, 222, 228)


def shots(page: Page) -> Image.Image:
    """The columns on grey paper."""
    whole = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    size = (len(COLUMNS) * (WIDTH + GAP) + GAP, HEIGHT + 2 * GAP)
    picture = Image.new("RGB", size, PAPER)
    for column, parts in enumerate(COLUMNS):
        left, below = GAP + column * (WIDTH + GAP), GAP
        for selector, height in parts:
            top = page.evaluate(
                "s => document.querySelector(s).getBoundingClientRect().top + scrollY", selector
            )
            top = max(0, round(top) - 16)
            picture.paste(whole.crop((0, top, WIDTH, top + height)), (left, below))
            below += height
    return picture


def small(picture: Image.Image) -> bytes:
    """The PNG with as many colours as `MOST_BYTES` allow."""
    for colours in (256, 128, 64, 32, 16):
        out = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path(".github/report.png"))
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto((options.run / "report.html").absolute().as_uri())
        picture = shots(page)
        browser.close()
    content = small(picture)
    options.out.write_bytes(content)
    print(f"{options.out}: {picture.width} × {picture.height}, {len(content) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
