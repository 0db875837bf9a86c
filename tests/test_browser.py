"""`report.html` in the machine's own Chromium, at the widths of a telephone and of a desk.

Where there is none the tests are skipped; with AUTOTL_TEST_BROWSER=required they fail instead.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotl.report.page import page
from tests import pages

WIDTHS = (390, 1280)
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("AUTOTL_TEST_BROWSER") == "required":
            pytest.fail("There is no Chromium on this machine, and it is required.")
        pytest.skip("There is no Chromium on this machine.")
    from playwright.sync_api import sync_playwright

    options = ["--disable-dev-shm-usage"]  # containers have little of it
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=["hostile", "many"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    names = pages.HOSTILE if request.param == "hostile" else [f"{n}" * 9 for n in range(300)]
    report = pages.report(pages.records(folder, names))
    start = [{"epoch": 0.0, "accuracy": 0.8}, {"epoch": 1.0, "accuracy": 0.8}]
    ledger = report["search"]["ledger"]
    ledger[2] |= {"strategy": "partial-freeze", "history": start, "stopped": "deadline"}
    ledger[1]["recipe"]["numbers"]["epochs"], ledger[1]["stopped"] = 14, "deadline"
    path = folder / "report.html"
    path.write_text(page(report, folder), "utf-8")
    return path


@pytest.fixture(params=WIDTHS)
def shown(request: pytest.FixtureRequest, browser: Any, written: Path) -> Iterator[Any]:
    """The page at one width; `said` and `wanted` are its console's lines and its requests."""
    tab = browser.new_page(viewport={"width": request.param, "height": 800})
    tab.said, tab.wanted = [], []
    tab.on("console", lambda line: tab.said.append(line.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda one: tab.wanted.append(one.url))
    tab.goto(written.as_uri())
    yield tab
    tab.close()


def test_it_fits_and_wants_nothing(shown: Any, written: Path) -> None:
    inner, whole = shown.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert whole <= inner
    assert shown.said == []
    assert {url for url in shown.wanted if not url.startswith("data:")} == {written.as_uri()}
    assert shown.locator("h1").count() == 1
    told = [one.strip() for one in shown.locator("h2").all_inner_texts()]
    assert told == [
        "What was decided, and why",
        "Training",
        "The test",
        "The data",
        "What to do next for a better model",
        "The file and the run",
    ]


def test_every_picture_is_there_and_described(shown: Any) -> None:
    shown.wait_for_function("[...document.images].every(i => i.complete)")
    told = shown.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")
    assert len(told) > 6
    assert all(width > 0 and alt for width, alt in told)


def test_wide_tables_scroll_in_their_own_box(shown: Any) -> None:
    boxes = shown.evaluate(
        "[...document.querySelectorAll('.wide')]"
        ".map(b => [b.getBoundingClientRect().right, innerWidth])"
    )
    assert len(boxes) > 5
    assert all(right <= inner for right, inner in boxes)


def test_what_came_is_seen_without_scrolling(shown: Any) -> None:
    box = shown.locator("[aria-label='The four strategies']")
    heads = box.locator("thead th").evaluate_all(
        "all => all.map(h => [h.innerText, h.getBoundingClientRect().right])"
    )
    seen = shown.evaluate("innerWidth")
    assert [head for head, right in heads if right <= seen][:3] == [
        "strategy",
        "predicted accuracy, 95 % interval",
        "best on validation",
    ]


def test_no_cell_of_a_table_lies_over_another(shown: Any) -> None:
    over = shown.evaluate(
        "[...document.querySelectorAll('td, th')]"
        ".filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.innerText)"
    )
    assert over == []


def test_names_are_text_to_the_browser(shown: Any) -> None:
    assert shown.title().endswith(": report of autotl")
    assert shown.locator("script, iframe, object, embed, link, form").count() == 0
    assert shown.locator("img[onerror], [src='x']").count() == 0
    assert shown.evaluate("typeof window.owned") == "undefined"


def test_it_prints(browser: Any, written: Path, tmp_path: Path) -> None:
    tab = browser.new_page()
    tab.goto(written.as_uri())
    tab.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 3
    tab.set_viewport_size({"width": 700, "height": 900})
    tab.emulate_media(media="print")
    closed = "details:not([open]) .wide, details:not([open]) ul"
    heights = tab.evaluate(
        f"[...document.querySelectorAll('{closed}')].map(e => e.getBoundingClientRect().height)"
    )
    assert heights
    assert all(height > 0 for height in heights), "what is folded on the screen is printed"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a table is cut"
    tab.close()
