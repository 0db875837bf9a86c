"""`autotl predict MODEL INPUT...`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from autotl.cli import completing

if TYPE_CHECKING:
    from autotl.cli.console import Live, Quiet
    from autotl.prediction import Model, Predicted

FORMATS = completing.SHAPES


@dataclass(frozen=True, kw_only=True)
class Form:
    """How many labels an input has, and whether the model ever abstains."""

    top: int
    abstains: bool


@click.command(
    epilog="Example: autotl predict RUN/model.onnx new-photos/ --format csv > labels.csv"
)
@click.argument("model", shell_complete=completing.models)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=completing.files
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help="How many labels an input, best first.",
)
@click.option(
    "--format",
    "shape",
    default="table",
    show_default=True,
    metavar="[" + "|".join(FORMATS) + "]",
    help="A table for people; JSON lines or CSV for programs.",
    shell_complete=completing.shapes,
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format jsonl.")
@click.option(
    "--evaluate",
    is_flag=True,
    help="Hold the labels against the names of the folders that the images lie in, which must be "
    "classes of the model: the figures go to standard error, and with JSON lines also into a last "
    'line {"evaluation": ...}. Images that the model was trained on flatter it: `autotl verify` '
    "knows which were.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no remarks.")
def predict(
    model: str,
    inputs: tuple[str, ...],
    top: int,
    shape: str,
    as_json: bool,
    evaluate: bool,
    quiet: bool,
) -> int:
    """Label INPUTs (image files or folders) with an exported MODEL.

    An INPUT of - is the standard input: the bytes of one image, or a list of files and folders, a
    name a line or as `find -print0` gives them. A file of that name is ./-

    Inputs that cannot be read are reported one by one and counted; they do not stop the rest.
    Where the model's card has a threshold below which it abstains, the table shows such labels as
    "unsure (LABEL)", and CSV and JSON lines say of each whether it abstained.
    """
    from autotl.prediction import open_model
    from autotl.request import one_of

    shape = "jsonl" if as_json else one_of(shape, FORMATS, "format")
    piped = _standard_input(evaluate) if "-" in inputs else None
    opened = open_model(model)
    paths: Sequence[Any] = inputs
    judge = None
    if evaluate:
        from autotl.cli.scores import Judge

        judge = Judge(opened, inputs)
        paths = judge.paths
    counts = {"read": 0, "failed": 0}
    bar = _bar(inputs, shape, quiet)
    predicted = _predictions(opened, paths, piped, top, bar)
    predicted = predicted if judge is None else judge.watching(predicted)
    form = Form(top=_most(top, opened, quiet), abstains=opened.threshold is not None)
    _WRITERS[shape](_counted(predicted, bar, counts, quiet), form)
    if judge is not None:
        judge.tell(as_json=shape == "jsonl")
    return _verdict(counts, quiet)


def _standard_input(evaluate: bool) -> IO[bytes]:
    """The stream that - stands for; raises `UsageError` where nothing is piped into it."""
    from autotl.errors import UsageError

    if evaluate:
        raise UsageError(
            "--evaluate needs the folders that images lie in, and - has none.",
            hint="Name the folders or files as inputs.",
        )
    if sys.stdin is None or sys.stdin.isatty():
        what = "a terminal" if sys.stdin else "closed"
        raise UsageError(
            f"- is the standard input, which is {what}.",
            hint="Pipe an image or a list of files into it: "
            "find photos -name '*.jpg' | autotl predict MODEL -",
        )
    return sys.stdin.buffer


def _predictions(
    model: Model, inputs: Sequence[Any], piped: IO[bytes] | None, top: int, bar: Quiet | Live
) -> Iterable[Predicted]:
    from autotl.prediction import predict, predict_items, with_standard_input

    if piped is None:
        return predict(model, inputs, top=top, progress=bar.progress)
    items = with_standard_input(inputs, piped)
    return predict_items(model, items, top=top, progress=bar.progress)


def _most(top: int, model: Model, quiet: bool) -> int:
    """Labels that an input can have: no more than there are classes."""
    classes = len(model.classes)
    if top > classes and not quiet:
        print(f"The model has {classes} classes: all are shown.", file=sys.stderr)
    return min(top, classes)


def _bar(inputs: tuple[str, ...], shape: str, quiet: bool) -> Quiet | Live:
    """Progress through folders, where somebody sees it and no lines come in between."""
    from autotl.cli.console import Live, Quiet

    lines = shape != "table" and sys.stdout.isatty()
    folders = any(Path(each).is_dir() for each in inputs)
    if quiet or lines or not folders or not sys.stderr.isatty():
        return Quiet()
    return Live(verbose=False, redirect_stdout=False)


def _counted(
    predicted: Iterable[Predicted], bar: Quiet | Live, counts: dict[str, int], quiet: bool
) -> Iterator[Predicted]:
    from autotl.cli.console import plain

    with bar:
        for item in predicted:
            counts["read" if item.error is None else "failed"] += 1
            if item.error is not None and not quiet:
                print(f"{plain(item.id)}: {plain(item.error)}", file=sys.stderr)
            yield item


def _verdict(counts: dict[str, int], quiet: bool) -> int:
    if counts["failed"] and not quiet:
        total = counts["read"] + counts["failed"]
        print(f"{counts['failed']} of {total} inputs could not be read.", file=sys.stderr)
    return 3 if counts["failed"] and not counts["read"] else 0


def _table(predicted: Iterable[Predicted], form: Form) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from autotl.cli.console import plain, standard_output

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("input", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("probability", justify="right")
    for item in predicted:
        if item.error is not None:
            table.add_row(Text(plain(item.id)), Text("unreadable", style="red"), "")
        for rank, (label, probability) in enumerate(item.top):
            shown = f"unsure ({plain(label)})" if item.abstained and not rank else plain(label)
            table.add_row(Text("" if rank else plain(item.id)), Text(shown), f"{probability:.3f}")
    standard_output().print(table)


def _json_lines(predicted: Iterable[Predicted], form: Form) -> None:
    from autotl.cli.console import print_json_line

    for item in predicted:
        print_json_line(_mapping(item, form))


def _mapping(item: Predicted, form: Form) -> dict[str, Any]:
    if item.error is not None:
        return {"input": item.id, "error": item.error}
    return {
        "input": item.id,
        "label": item.label,
        "probability": round(float(item.probability or 0.0), 6),
        **({"abstained": item.abstained} if form.abstains else {}),
        "top": [{"label": label, "probability": round(p, 6)} for label, p in item.top],
    }


def _csv(predicted: Iterable[Predicted], form: Form) -> None:
    from autotl.cli.console import plain

    writer = csv.writer(sys.stdout, lineterminator="\n")
    shown = plain if sys.stdout.isatty() else str  # what a program reads is as it is
    ranks = [""] if form.top == 1 else [f"_{rank}" for rank in range(1, form.top + 1)]
    names = [f"{name}{rank}" for rank in ranks for name in ("label", "probability")]
    extra = ["abstained"] if form.abstains else []
    writer.writerow(["input", *names, *extra, "error"])
    for item in predicted:
        cells = [cell for label, p in item.top for cell in (label, f"{p:.6f}")]
        blank = [""] * (2 * len(ranks) - len(cells))
        told = ["" if item.error else str(item.abstained).lower()] if form.abstains else []
        writer.writerow(map(shown, [item.id, *cells, *blank, *told, item.error or ""]))


_WRITERS: dict[str, Callable[[Iterable[Any], Form], None]] = {
    "table": _table,
    "jsonl": _json_lines,
    "csv": _csv,
}
