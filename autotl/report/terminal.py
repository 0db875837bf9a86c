"""What the terminal shows: one line a finished step, and the summary at the end.

Lines are plain text; the summary and the evidence are rich renderables, which a pipe receives as
plain text too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from autotl.records import (
    Decision,
    Evaluation,
    Export,
    LoadRecord,
    LocatedBackbone,
    Measurements,
    Pictures,
    Ranking,
    ReportRecord,
    RunEstimate,
    SearchRecord,
    SplitRecord,
    Strategy,
    Trial,
)
from autotl.report import abstaining, ahead
from autotl.report.ahead import minutes as minutes
from autotl.report.benefits import sentence
from autotl.report.measured import UNKNOWN, figures, share

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 10
"""Stages that are listed in one table."""
WEIGHTS = {
    frozenset({True, False}): "pretrained/random weights",
    frozenset({True}): "pretrained weights (random ones not measured)",
    frozenset({False}): "random weights",
}


def step_line(record: Any) -> str:
    """One line, without its end, on what a step found."""
    return _LINES[type(record)](record)


def _load(record: LoadRecord) -> str:
    aside = f", {len(record.set_aside)} set aside" if record.set_aside else ""
    return f"{record.examples:,} examples in {len(record.classes)} classes{aside} ({record.reason})"


def _split(record: SplitRecord) -> str:
    counts = f"{record.train:,} train, {record.validation:,} validation, {record.test:,} test"
    return counts + (f", {record.dropped} duplicates dropped" if record.dropped else "")


def _backbone(record: LocatedBackbone) -> str:
    weights = "pretrained" if record.weights else "random weights only"
    own = record.natural_size
    other = f"; the images would bear {own}" if own != record.input_size else ""
    asked = f", as asked for{other}" if own else ""
    return f"{record.backbone.name} at {record.input_size} pixels ({weights}){asked}"


def _rank(record: Ranking) -> str:
    return record.reason


def _measure(record: Measurements) -> str:
    probe = next(p for p in record.probes if p.stage == record.stages[record.tap - 1])
    similarity = record.similarity.value
    near = "not measured" if similarity is None else f"{similarity:.2f}"
    return f"linear probe {probe.linear:.3f} at {probe.stage}, similarity {near}"


def _decide(record: Decision) -> str:
    predicted = record.predicted[record.strategy]
    chosen = f"{record.strategy}, predicted {predicted.accuracy:.3f}"
    interval = f"[{predicted.low:.3f}, {predicted.high:.3f}]"
    asked = f" (asked for; the engine would take {record.engine})" if record.forced else ""
    return f"{chosen} {interval}, about {minutes(predicted.minutes)}{asked}"


def _search(record: SearchRecord) -> str:
    score = record.best.result.metrics["accuracy"] if record.best.result else float("nan")
    failed = f", {record.failed} failed" if record.failed else ""
    trials = "1 trial" if record.trials == 1 else f"{record.trials} trials"
    return (
        f"{trials}{failed}; best is number {record.best.number} "
        f"({record.best.recipe.strategy}), validation accuracy {score:.3f}; {record.stopped}"
    )


def _evaluate(record: Evaluation) -> str:
    figure = record.accuracy
    return f"test accuracy {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _export(record: Export) -> str:
    parity = record.parity
    kept = [f", {one.kind} kept" if one.kept else f", no {one.kind}" for one in record.variants]
    return (
        f"{record.model.path}, {record.model.size / 1e6:.1f} MB; same label on "
        f"{100 * parity.top1_agreement:.1f} % of {parity.examples} raw inputs{''.join(kept)}"
    )


def _pictures(record: Pictures) -> str:
    doubts = _of(len(record.suspects), record.doubts, "label")
    copies = _of(len(record.copies), record.groups, "group")
    pairs = _of(len(record.near), None, "pair")
    return (
        f"{doubts} in doubt, {pairs} of near-copies and {copies} of copies to look at in "
        "report.html"
    )


def _of(shown: int, whole: int | None, what: str) -> str:
    """How many of them: "1 label", "20 of 26 labels"."""
    many = whole if whole and whole > shown else shown
    return f"{shown} of {many} {what}s" if many > shown else f"{many} {what}{'s'[many == 1 :]}"


def _report(record: ReportRecord) -> str:
    files = (record.page, record.report, record.card)
    return ", ".join(file.path for file in files if file is not None)


_LINES: dict[type, Callable[[Any], str]] = {
    LoadRecord: _load,
    SplitRecord: _split,
    LocatedBackbone: _backbone,
    Ranking: _rank,
    Measurements: _measure,
    Decision: _decide,
    RunEstimate: ahead.line,
    SearchRecord: _search,
    Evaluation: _evaluate,
    Export: _export,
    Pictures: _pictures,
    ReportRecord: _report,
}


def trial_line(trial: Trial) -> str:
    """One line on a trial that has ended."""
    recipe = trial.recipe
    if trial.result is None:
        return f"trial {trial.number} ({recipe.strategy}) failed: {trial.failure}"
    figures = trial.result.metrics
    return (
        f"trial {trial.number} ({recipe.strategy}, {trial.origin}): validation accuracy "
        f"{figures['accuracy']:.3f}, log loss {figures['log-loss']:.3f}, {trial.seconds:.0f} s"
    )


def evidence(
    measurements: Measurements,
    decision: Decision,
    learning_rate: float | None,
    estimate: RunEstimate | None = None,
) -> list[Any]:
    """What was measured, the probes by stage, the four strategies, the `learning_rate` of the
    default recipe of the chosen one (None: its head is fitted), the `estimate` of a run, then the
    reasons.
    """
    from rich.text import Text

    blocks = (
        _named(figures(measurements), "Measured"),
        _probes(measurements),
        _strategies(decision),
    )
    return [
        *(part for block in blocks for part in (block, Text())),
        Text(_rate(decision.strategy, learning_rate)),
        Text(),
        *_foretold(estimate),
        _reasons(decision.reasons),
    ]


def _foretold(estimate: RunEstimate | None) -> list[Any]:
    from rich.text import Text

    if estimate is None:
        return []
    warned = _reasons(estimate.warnings, title=None, bullet="  !") if estimate.warnings else None
    table = _named(list(ahead.rows(estimate)), "What a run would take")
    return [table, *([warned] if warned else []), Text()]


def _rate(strategy: Strategy, learning_rate: float | None) -> str:
    if learning_rate is None:
        return f"{strategy} has no learning rate: its head is fitted, not stepped."
    return f"{strategy} starts with a learning rate of {learning_rate:g}."


def _race(decision: Decision) -> str:
    if decision.runner_up is None:
        return "no runner-up"
    race = f"{share(decision.race)} % of the time for the runner-up" if decision.race else "no race"
    return f"margin {100 * decision.margin:+.1f} points, {race}"


def _probes(measured: Measurements) -> Any:
    """A table of the stages; more than `ROWS` are halves side by side where the screen is wide."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows, count = _stage_rows(measured), len(measured.stages)
    half = count if count <= ROWS else (count + 1) // 2
    tables = []
    for some in (rows[:half], rows[half:]) if count > ROWS else (rows,):
        table = Table(box=None, pad_edge=False, collapse_padding=count > ROWS)
        for heading in ("stage", "linear", "k-NN", "near"):
            table.add_column(heading, justify="left" if heading == "stage" else "right")
        for row in some:
            table.add_row(*row)
        tables.append(table)
    weights = WEIGHTS.get(frozenset(probe.pretrained for probe in measured.probes), UNKNOWN)
    title = f"Probes by stage: accuracy in %, {weights}; near: similarity; * is the tap"
    return Group(Text(title, style="bold"), Columns(tables, padding=(0, 2)))


def _stage_rows(measured: Measurements) -> list[tuple[str, str, str, str]]:
    sides = [
        {probe.stage: probe for probe in measured.probes if probe.pretrained is pretrained}
        for pretrained in (True, False)
    ]
    near = dict(zip(measured.stages, measured.similarity.stages, strict=False))
    rows = []
    for number, stage in enumerate(measured.stages, 1):
        found = [side[stage] for side in sides if stage in side]
        value = near.get(stage)
        rows.append(
            (
                stage + ("*" if number == measured.tap else ""),
                "/".join(share(probe.linear) for probe in found) or "-",
                "/".join(share(probe.knn) for probe in found) or "-",
                "-" if value is None else f"{value:.2f}",
            )
        )
    if measured.together is not None and len(measured.stages) > 1:
        mark = " (head)" if len(measured.reads) > 1 else ""
        rows.append((f"all together{mark}", share(measured.together), "-", "-"))
    return rows


def _strategies(decision: Decision) -> Table:
    headings = ("strategy", "accuracy", "95 % interval", "time")
    table = _table(f"The four strategies, predicted; {_race(decision)}", headings)
    for strategy, figure in decision.predicted.items():
        mark = " (chosen)" if strategy == decision.strategy else ""
        mark = " (runner-up)" if strategy == decision.runner_up else mark
        table.add_row(
            strategy + mark,
            f"{figure.accuracy:.3f}",
            f"{figure.low:.3f} to {figure.high:.3f}",
            minutes(figure.minutes),
        )
    return table


def _reasons(reasons: Sequence[str], title: str | None = "Reasons", bullet: str = "  -") -> Table:
    """A list whose longer entries are wrapped between words, under their own beginning."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for reason in reasons:
        table.add_row(bullet, Text(reason))
    return table


def _named(rows: Sequence[tuple[str, str]], title: str) -> Table:
    """Figures with their names before them."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for name, words in rows:
        table.add_row(f"  {name}", Text(words))
    return table


def summary(report: dict[str, Any], folder: str, *, page: bool = True) -> list[Any]:
    """The end of a run: figures against their baselines, what was decided, where the files are;
    with the `page` where there is one.
    """
    from rich.text import Text

    names = [*(["report.html"] if page else []), "report.json", "MODEL_CARD.md"]
    where = Text(
        f"Model   {folder}/model.onnx\n"
        f"Report  {', '.join(f'{folder}/{name}' for name in names)}\n"
        f"Try it  autotl predict {quote(folder)}/model.onnx IMAGE..."
    )
    transfer = report["search"].get("transfer")
    chosen = report["evaluation"].get("abstention")
    words = [
        report.get("overrun"),
        sentence(transfer) if transfer else None,
    ]
    told: list[Any] = [part for one in words if one for part in (Text(one), Text())]
    told += [_reasons([abstaining.sentence(chosen)], "Abstaining"), Text()] if chosen else []
    notes = report["search"]["notes"]
    told = [_reasons(notes, "The search"), Text(), *told] if notes else told
    variants = [
        f"model.{one['kind']}.onnx {'is' if one['kept'] else 'was not'} written: {one['reason']}"
        for one in report["export"].get("variants", [])
    ]
    told += [_reasons(variants, "Fewer bits"), Text()] if variants else []
    return [_figures(report), _reasons(report["decision"]["reasons"]), Text(), *told, where]


def _table(title: str, headings: Sequence[str]) -> Table:
    """A table whose first column is text and whose others are figures."""
    from rich import box
    from rich.table import Table

    look: Any = {"title_justify": "left", "title_style": "bold", "box": box.SIMPLE_HEAD}
    table = Table(title=title or None, show_edge=False, pad_edge=False, **look)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def _figures(report: dict[str, Any]) -> Table:
    evaluation = report["evaluation"]
    title = f"Test figures on {evaluation['examples']} examples"
    table = _table(title, ("", "value", "95 % interval"))
    best = report["search"]["best"]["recipe"]["strategy"]
    rows = (
        (f"accuracy ({best})", "accuracy"),
        ("balanced accuracy", "balanced_accuracy"),
        ("macro F1", "macro_f1"),
        ("linear probe, accuracy", "linear_probe"),
        ("largest class always, accuracy", "majority"),
    )
    for title, key in rows:
        figure = evaluation[key]
        if figure is None:
            table.add_row(title, "not measured", "")
            continue
        interval = f"{figure['low']:.3f} to {figure['high']:.3f}"
        table.add_row(title, f"{figure['value']:.3f}", interval)
    parity = report["export"]["parity"]
    error, before = (evaluation[f"calibration_error{when}"] for when in ("", "_before"))
    scaled = f" (before temperature {before:.3f})" if evaluation["temperature"] != 1 else ""
    table.add_row(f"calibration error{scaled}", f"{error:.3f}", "")
    table.add_section()
    table.add_row("ONNX gives the same label", f"{parity['top1_agreement']:.3f}", "")
    seconds = report["seconds"]["total"]
    table.add_row("time, all steps", minutes(seconds / 60), "")
    return table
