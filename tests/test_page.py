"""`report.html`: what it says is what `report.json` says, and names are only ever text."""

from __future__ import annotations

import errno
import json
import re
import threading
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autotl
from autotl.errors import RunFolderError
from autotl.evaluate.figures import reliability, wilson
from autotl.evaluate.mistakes import SHOWN, surest
from autotl.files import file_ref, write_atomically
from autotl.fitted import Fitted, Inspection
from autotl.measure.quality import PAIRS
from autotl.records import Evaluation, ReportRecord, Size, from_json, to_json
from autotl.report import brief, render, terminal, write
from autotl.report.page import page, plots, rendering, tables, wording
from autotl.request import request
from autotl.run import open_run
from tests import pages


class Read(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    report = pages.report(pages.records(folder, pages.HOSTILE))
    return report, page(report, folder), folder


def test_names_make_no_element_and_no_attribute(hostile: tuple[dict[str, Any], str, Path]) -> None:
    report, html, folder = hostile
    own = pages.records(folder, [f"class {n}" for n in range(len(pages.HOSTILE))])
    calm = Read(page(pages.report(own), folder))
    read = Read(html)
    names = [(tag, sorted(attributes)) for tag, attributes in read.elements]
    assert names == [(tag, sorted(attributes)) for tag, attributes in calm.elements]
    assert not {"script", "link", "iframe", "object", "b onerror"} & {tag for tag, _ in names}
    assert not any(key.startswith("on") for _, keys in names for key in keys)
    for name in report["data"]["classes"]:
        assert wording.name(name) in read.text
    assert "{{ 7 * 7 }}" in read.text
    assert "49{%" not in read.text


def test_the_page_wants_nothing_from_anywhere(hostile: tuple[dict[str, Any], str, Path]) -> None:
    _, html, _ = hostile
    read = Read(html)
    (policy,) = (m for m in read.all("meta") if m.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    sources = [str(image["src"]) for image in read.all("img")]
    assert all(re.match(r"data:image/(svg\+xml|jpeg);base64,", source) for source in sources)
    assert all(str(a["href"]).startswith("#") for a in read.all("a"))
    assert "url(" not in html
    assert "@import" not in html
    assert all(image["alt"] for image in read.all("img"))
    ids = {attributes["id"] for _, attributes in read.elements if "id" in attributes}
    assert {str(a["href"])[1:] for a in read.all("a")} <= ids


def test_headings_are_in_order(hostile: tuple[dict[str, Any], str, Path]) -> None:
    levels = [int(tag[1]) for tag, _ in Read(hostile[1]).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_nothing_a_user_named_is_drawn(
    hostile: tuple[dict[str, Any], str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    text = matplotlib.text.Text.set_text

    def kept(self: Any, words: Any) -> None:
        told.append(str(words))
        text(self, words)

    monkeypatch.setattr(matplotlib.text.Text, "set_text", kept)
    page(hostile[0], hostile[2])
    assert "epoch" in told
    named = [*filter(None, pages.HOSTILE), *pages.STAGES, pages.MARK, "<b>", "{{"]
    assert not [words for words in told if any(name in words for name in named)]


def test_the_same_report_gives_the_same_bytes(
    hostile: tuple[dict[str, Any], str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, html, folder = hostile
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert page(report, folder) == html
        assert matplotlib.rcParams["font.size"] == 30
    assert page(json.loads(json.dumps(report)), folder) == html


def test_pages_are_drawn_in_several_threads(hostile: tuple[dict[str, Any], str, Path]) -> None:
    report, html, folder = hostile
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(page(report, folder))) for _ in range(3)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [html] * 3


def _rows(html: str, caption: str) -> list[list[str]]:
    """The cells of the table in the box of that label."""
    box = html.split(f'aria-label="{caption}"')[1].split("</table>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", box, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in row] for row in cells]


def test_figures_are_those_of_the_report(hostile: tuple[dict[str, Any], str, Path]) -> None:
    report, html, _ = hostile
    found = report["evaluation"]

    def share(figure: dict[str, float]) -> list[str]:
        return [
            f"{100 * figure['value']:.1f} %",
            f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f} %",
        ]

    figures = {row[0]: row[1:] for row in _rows(html, "Test figures")}
    assert figures["Accuracy of the model"] == share(found["accuracy"])
    assert figures["Balanced accuracy"] == share(found["balanced_accuracy"])
    assert figures["Macro F1"] == share(found["macro_f1"])
    assert figures["Baseline: linear probe, accuracy"] == share(found["linear_probe"])
    assert figures["Log loss"][0] == f"{found['log_loss']:.3f}"
    matrix = [[int(cell) for cell in row[1:]] for row in _rows(html, "Confusion matrix")[1:]]
    assert matrix == found["confusion"]
    strategies = {row[0].split()[0]: row for row in _rows(html, "The four strategies")[1:]}
    tuned = strategies["full-fine-tune"]
    predicted, *came = (" ".join(cell.split()) for cell in tuned[1:])
    assert predicted == "85.0 % 70.0 to 95.0 %"
    tested = " ".join(share(found["accuracy"]))
    assert came == ["90.0 %", tested, "2.5 min", "3.0 s", "1"]
    assert strategies["partial-freeze"][1:5] == ["not possible", "not tried", "", ""]
    assert strategies["scratch"][3] == ""
    matrix = np.array(found["confusion"])
    recalls = {unescape(row[0]): row[1:5] for row in _rows(html, "Classes")[1:]}
    for place, one in enumerate(found["per_class"]):
        right, tested = int(matrix[place, place]), int(matrix[place].sum())
        shown = recalls[wording.name(one["name"])]
        if not tested:
            assert shown == ["not measured", "", "", "0"]
            continue
        own = wilson(np.arange(tested) < right)
        assert shown == [
            f"{100 * one['recall']:.1f} %",
            f"{100 * own.low:.1f} to {100 * own.high:.1f} %",
            str(right),
            str(tested),
        ]
    assert "selected among 3, hence optimistic" in html
    for row, one in zip(_rows(html, "Probes by stage")[1:], pages.STAGES, strict=True):
        own = [p for p in report["measurements"]["probes"] if p["stage"] == one]
        assert [row[2], row[4]] == [f"{100 * p['linear']:.1f} %" for p in own]
    trials = _rows(html, "Trials")[1:]
    assert [row[0] for row in trials] == ["1", "0", "2", "3"]
    assert trials[3][3] == "failed"
    bins = [one for one in found["reliability"] if one["examples"]]
    told = _rows(html, "Reliability")[1:]
    assert [int(row[1]) for row in told] == [one["examples"] for one in bins]


def test_trainings_that_were_cut_are_not_shown_as_whole_ones(tmp_path: Path) -> None:
    run = pages.records(tmp_path, ("a", "b"))
    start = pages.trial(2, "partial-freeze", 0.8, epochs=1, stopped="deadline")
    assert start.result is not None
    epochs = [{"epoch": 0.0, "accuracy": 0.8}, {"epoch": 1.0, "accuracy": 0.8}]
    trials = (
        run.trials[0],
        pages.trial(1, "full-fine-tune", 0.9, epochs=2, stopped="deadline"),
        replace(start, result=replace(start.result, history=tuple(epochs))),
        pages.trial(3, "scratch", 0.5, epochs=1, stopped="patience"),
        pages.trial(4, "scratch", 0.6, epochs=3, stopped="deadline"),
    )
    search = replace(run.search, best=trials[1])
    report = pages.report(replace(run, trials=trials, search=search))
    assert [(one["epochs"], one["stopped"]) for one in report["search"]["ledger"]] == [
        (None, "epochs"),
        (2, "deadline"),
        (0, "deadline"),
        (1, "patience"),
        (3, "deadline"),
    ]
    html = page(report, tmp_path)
    rows = {row[0].split()[0]: row for row in _rows(html, "The four strategies")[1:]}
    came = {
        name: (" ".join(row[2].split()), " ".join(row[5].split())) for name, row in rows.items()
    }
    cut = "2 of 3 epochs, cut by the budget"
    nothing = "nothing trained: the time was up before the first step"
    assert came == {
        "feature-extraction": ("80.0 %", "2.0 s"),
        "partial-freeze": (nothing, "not measured"),
        "full-fine-tune": (f"90.0 % {cut}", f"3.0 s {cut}"),
        "scratch": (
            "60.0 % the last of 3 epochs, cut by the budget",
            "5.0 s 1 of 3 epochs, ended for want of improvement",
        ),
    }
    told = {row[0]: row[6] for row in _rows(html, "Trials")[1:]}
    assert told["1"].startswith(f"{cut}: head on 1 stage, 3 epochs")
    assert told["2"].startswith(f"{nothing}: ")
    assert f"90.0 %<br><small>{cut}</small>" in brief(report, "x")
    assert nothing in brief(report, "x")
    older = json.loads(json.dumps(report))
    for one in older["search"]["ledger"]:
        del one["stopped"], one["epochs"]
    rows = {row[0].split()[0]: row for row in _rows(page(older, tmp_path), "The four strategies")}
    assert " ".join(rows["full-fine-tune"][2].split()) == "90.0 % 2 of 3 epochs"
    assert rows["partial-freeze"][2] == nothing


def test_what_is_not_shown_of_many_is_said(tmp_path: Path) -> None:
    report = pages.report(pages.records(tmp_path, ("a", "b")))
    size = report["measurements"]["size"]
    assert "are shown, those with the nearest neighbours" not in page(report, tmp_path)
    size["doubts"] = 26
    assert "2 of 26 are shown, those with the nearest neighbours." in page(report, tmp_path)
    assert "At most 12 pairs are recorded" not in page(report, tmp_path)
    size["near_pairs"] = [["x", "y"]] * PAIRS
    assert "1 of them is shown" in page(report, tmp_path)
    assert rendering.PAIRS == PAIRS


def test_why_the_backbone_was_taken_is_said(tmp_path: Path) -> None:
    report = pages.report(pages.records(tmp_path, ("a", "b")))
    words = {"reason": "Probe of 3: <b>.", "instead": "Auto would take C.", "size_reason": "D."}
    report["backbone"] |= words
    html = page(report, tmp_path)
    decided = html.split('id="decided"')[1].split("<h3>")[0]
    for one in words.values():
        assert f"<bdi>{escape(one)}</bdi>" in decided


def test_every_head_of_a_table_says_what_it_heads(
    hostile: tuple[dict[str, Any], str, Path],
) -> None:
    report, html, folder = hostile
    heads = Read(html).all("th")
    assert {head.get("scope") for head in heads} == {"row", "col"}
    short = Read(brief(report, str(folder))).all("th")
    assert {head.get("scope") for head in short} == {"col"}


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_letters_in_the_matrix_can_be_read(tmp_path: Path) -> None:
    html = page(pages.report(pages.records(tmp_path, ("a", "b"), wrong=1)), tmp_path)
    (zero,) = re.findall(r"\.z \{ color: (#\w{6}); background: (#\w{6});", html)
    assert _contrast(*zero) >= 4.5
    for shades in rendering.SHADES.values():
        for number, shade in enumerate(shades):
            ink = "#ffffff" if number > 6 else "#24292f"
            assert not shade or _contrast(shade, ink) >= 4.5, (number, shade)
    cells = re.findall(r'style="background: (#\w{6})(; color: #fff)?"', html)
    assert {white for _, white in cells} == {"", "; color: #fff"}
    for colour, white in cells:
        assert _contrast(colour, "#ffffff" if white else "#24292f") >= 4.5


def test_mistakes_and_doubts_are_shown_with_their_pictures(
    hostile: tuple[dict[str, Any], str, Path],
) -> None:
    report, html, _ = hostile
    found = report["evaluation"]["mistakes"]
    assert len(found) == SHOWN
    jpegs = [i for i in Read(html).all("img") if str(i["src"]).startswith("data:image/jpeg")]
    shown = report["pictures"]
    assert len(shown["suspects"]) == 2
    assert len(shown["near"]) == 1, "the other pair is an exact copy"
    assert (len(shown["copies"]), shown["groups"]) == (2, 2)
    assert [one["thumbnail"] is None for one in shown["copies"]] == [False, True]
    assert len(jpegs) == SHOWN + 2 + 2 + 1
    alts = " ".join(str(one["alt"]) for one in jpegs)
    for one in found:
        assert one["id"] in alts
        assert f"({100 * one['probability']:.1f} %)" in html
    wrong = sum(map(sum, report["evaluation"]["confusion"])) - np.trace(
        report["evaluation"]["confusion"]
    )
    assert f"of {wrong} in all" in html


def test_a_picture_that_is_gone_or_changed_leaves_a_place(
    hostile: tuple[dict[str, Any], str, Path], tmp_path: Path
) -> None:
    report = pages.report(pages.records(tmp_path, pages.HOSTILE))
    before = page(report, tmp_path).count("no picture")
    first, second = report["evaluation"]["mistakes"][:2]
    (tmp_path / first["thumbnail"]["path"]).unlink()
    (tmp_path / second["thumbnail"]["path"]).write_bytes(b"else")
    outside = report["evaluation"]["mistakes"][2]["thumbnail"]
    outside["path"] = "../outside.jpg"
    assert page(report, tmp_path).count("no picture") == before + 3


def _old(report: dict[str, Any]) -> dict[str, Any]:
    """The report as it was before pages were made."""
    old: dict[str, Any] = json.loads(json.dumps(report))
    del old["pictures"]
    for key in ("reliability", "mistakes"):
        del old["evaluation"][key]
    for key in ("borne", "near_pairs"):
        del old["measurements"]["size"][key]
    return old


def test_what_an_older_run_did_not_record_is_said(
    hostile: tuple[dict[str, Any], str, Path],
) -> None:
    report, _, folder = hostile
    html = page(_old(report), folder)
    assert html.count("ot recorded in this run") == 5
    assert "data:image/jpeg" not in html
    assert pages.MARK.replace("&", "&amp;").replace("<", "&lt;").split("'")[0] in html
    json_ = to_json(pages.records(folder, ("a", "b")).evaluation)
    older = {key: value for key, value in json_.items() if key not in ("reliability", "mistakes")}
    loaded = from_json(Evaluation, older)
    assert (loaded.reliability, loaded.mistakes) == (None, None)
    files = {"report": to_json(pages.FILE), "card": to_json(pages.FILE)}
    assert from_json(ReportRecord, files).page is None
    size = to_json(pages.records(folder, ("a", "b")).measurements.size)
    assert from_json(Size, {k: v for k, v in size.items() if k != "near_pairs"}).near_pairs == ()


@pytest.mark.parametrize("count", [2, 25, 26, 300])
def test_few_and_many_classes(count: int, tmp_path: Path) -> None:
    names = [f"class {n} {'x' * (n % 50)}" for n in range(count)]
    report = pages.report(pages.records(tmp_path, names, rows=max(24, 2 * count), wrong=40))
    html = page(report, tmp_path)
    assert ('aria-label="Confusion matrix"' in html) == (count <= 25)
    assert len(html) < 3e6
    if count > 25:
        pairs = tables.confusion(report)["pairs"]
        matrix = report["evaluation"]["confusion"]
        assert 0 < len(pairs) <= tables.PAIRS
        assert all(matrix[p["label"]][p["predicted"]] == p["count"] for p in pairs)
        assert ("more pairs are in report.json" in html) == (count == 300)


def test_a_run_without_mistakes_or_measurements_says_so(tmp_path: Path) -> None:
    run = pages.records(tmp_path, ("a", "b"), wrong=1)
    measured = run.measurements
    size = replace(
        measured.size, near_copies=None, near_leaks=None, doubts=None, doubtful=(), effective=None
    )
    bare = replace(measured, probes=(), curve=(), size=size, together=None)
    search = replace(run.search, best=run.trials[0], trials=1, failed=0)
    evaluation = replace(run.evaluation, mistakes=(), linear_probe=None)
    run = replace(
        run, measurements=bare, search=search, trials=run.trials[:1], evaluation=evaluation
    )
    html = page(pages.report(run), tmp_path)
    assert html.count("Not measured.") == 2
    assert "The curve over fewer examples was not measured." in html
    assert "No finished trial was trained by epochs" in html
    assert "None: every test image was given its class." in html
    assert "<b>not measured</b>" in html


# ---- what evaluation keeps for it ----


def test_the_surest_mistakes_come_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4], [0.05, 0.95]])
    assert surest(probabilities, np.array([1, 1, 0, 0, 0])) == [4, 0, 2]
    many = np.tile([[0.9, 0.1]], (100, 1))
    assert surest(many, np.ones(100, int)) == list(range(SHOWN))
    assert surest(many, np.zeros(100, int)) == []


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 5))
def test_bins_hold_every_row_once(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), rows).astype(np.float32)
    labels = rng.integers(0, classes, rows)
    bins = reliability(probabilities, labels)
    assert len(bins) == 10
    assert sum(one.examples for one in bins) == rows
    right = sum(round(one.accuracy.value * one.examples) for one in bins if one.accuracy)
    assert right == int((probabilities.argmax(axis=1) == labels).sum())
    for one in bins:
        if one.confidence is not None:
            assert one.low - 1e-6 <= one.confidence <= one.high + 1e-6
        assert (one.confidence is None) == (one.accuracy is None) == (one.examples == 0)


def test_full_confidence_is_in_the_last_bin() -> None:
    (*_, last) = reliability(np.array([[1.0, 0.0]]), np.array([0]))
    assert (last.examples, last.confidence) == (1, 1.0)


# ---- files and short forms ----


def test_the_step_writes_the_page_and_render_writes_it_again(tmp_path: Path) -> None:
    run = pages.records(tmp_path, pages.HOSTILE)
    written = write(run, tmp_path)
    assert written.page is not None
    assert written.page.path == "report.html"
    before = (tmp_path / "report.html").read_bytes()
    (tmp_path / "report.html").unlink()
    told = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert render(told, tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_bytes() == before


def test_a_page_that_cannot_be_made_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> str:
        raise ImportError("no module of matplotlib's own")

    run = pages.records(tmp_path, ("a", "b"))
    with monkeypatch.context() as patched:
        patched.setattr("autotl.report.page.plots.drawn", broken)
        written = write(run, tmp_path)
    assert written.page is None
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "report.json").is_file()
    (said,) = (one.getMessage() for one in caplog.records if one.levelname == "WARNING")
    assert "report.html could not be made: ImportError: no module of matplotlib's own" in said
    assert f"autotl report {tmp_path}" in said
    assert terminal.step_line(written) == "report.json, MODEL_CARD.md"


def test_a_full_disk_stops_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, writer: Any) -> Path:
        if path.name == "report.html":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_atomically(path, writer)

    monkeypatch.setattr("autotl.report.writing.write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        write(pages.records(tmp_path, ("a", "b")), tmp_path)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with open_run(folder, to_json(request(data="digits")), name="digits") as opened:
        (folder / "report.json").write_text('{"schema": "other/1"}')
        files = [file_ref(folder / "report.json", folder)] * 2
        opened.once("report", ReportRecord, lambda: ReportRecord(report=files[0], card=files[1]))
    with pytest.raises(RunFolderError, match="schema other/1"):
        autotl.load(folder).render()


def test_the_short_form_is_text_and_tables(hostile: tuple[dict[str, Any], str, Path]) -> None:
    report, _, folder = hostile
    html = Fitted(folder, report)._repr_html_()
    assert html == brief(report, str(folder))
    read = Read(html)
    assert not {"script", "img", "style", "i"} & {tag for tag, _ in read.elements}
    assert f"accuracy {100 * report['evaluation']['accuracy']['value']:.1f} %" in read.text
    assert "What to do next" in read.text
    assert f"{folder}/report.html" in read.text


def test_an_inspection_shows_itself(tmp_path: Path) -> None:
    run = pages.records(tmp_path, pages.HOSTILE)
    one = Inspection(run.load, run.split, run.located, run.measurements, run.decision)
    assert len(repr(one)) < 300
    assert "full-fine-tune, predicted 0.850 [" in repr(one)
    assert "schema" not in repr(Fitted(tmp_path, one.document()))
    read = Read(one._repr_html_())
    assert "full-fine-tune is chosen" in read.text
    assert "85.0 %" in read.text
    assert "{{ 7 * 7 }}" in read.text
    assert "b" not in [tag for tag, _ in read.elements][3:]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\x00\x1b", "a\\nb\\x00\\x1b"),
        ("\u202eabc", "\\u202eabc"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("כלב", "כלב"),
        (" ", "(no name)"),
        ("", "(no name)"),
    ],
)
def test_names_are_shown_in_one_line(text: str, shown: str) -> None:
    assert wording.name(text) == shown


@pytest.mark.parametrize("count", [1, 40])
def test_one_trial_and_many_are_drawn(count: int) -> None:
    some = [to_json(pages.trial(n + 1, "scratch", 0.5 + n / 100)) for n in range(count)]
    ledger = [
        {"number": one["number"], "strategy": "scratch", "seconds": 0.0}
        | {"history": one["result"]["history"], "metrics": one["result"]["metrics"]}
        for one in some
    ]
    drawn = plots.learning_curves(ledger, 1)
    assert drawn is not None
    assert drawn.startswith("data:image/svg+xml;base64,")
    assert (plots.scores(ledger, 1) is None) == (count == 1)
