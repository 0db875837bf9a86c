"""Figures of a model on examples of known classes, as the terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from autotl.prediction import Model, Predicted
    from autotl.records import AbstentionScore, Interval, Scores


class Judge:
    """Holds predictions against the folders that the images lie in."""

    def __init__(self, model: Model, inputs: tuple[str, ...]) -> None:
        from autotl.delivery import Tally, known

        self.paths, self.labels = known(model, inputs)
        self.tally = Tally(model)

    def watching(self, predicted: Iterable[Predicted]) -> Iterator[Predicted]:
        """The same predictions, counted as they go by."""
        return self.tally.watching(predicted, self.labels)

    def tell(self, *, as_json: bool) -> None:
        """The figures on standard error, and as a line of JSON on standard output."""
        from autotl.cli.console import print_json_line, show_remarks
        from autotl.records import to_json

        scores = self.tally.scores()
        if as_json:
            print_json_line({"evaluation": to_json(scores)})
        show_remarks(lines(scores))


def interval(figure: Interval) -> str:
    """A figure with its 95 % interval."""
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def lines(scores: Scores) -> Iterator[Any]:
    """The figures in words, then a table of the classes, as rich renderables."""
    from rich.text import Text

    yield from map(Text, _figures(scores))
    yield _table(scores)


def _figures(scores: Scores) -> Iterator[str]:
    unread = f"; {scores.unreadable:,} could not be read" if scores.unreadable else ""
    yield f"Accuracy           {interval(scores.accuracy)} on {scores.examples:,} images{unread}"
    yield f"Balanced accuracy  {interval(scores.balanced_accuracy)}"
    yield f"Macro-F1           {interval(scores.macro_f1)}"
    absent = sum(not each.examples for each in scores.per_class)
    if absent:
        yield (
            f"{absent} of {len(scores.per_class)} classes are not in the data: macro-F1 counts 0 "
            "for those that were told of an image, and leaves out the others."
        )
    if scores.abstention is not None:
        yield f"Abstention         {_abstention(scores.abstention, scores.examples)}"


def _abstention(score: AbstentionScore, examples: int) -> str:
    answered = (
        f"answers {score.answered:,} of {examples:,} ({100 * score.coverage:.1f} %) "
        f"at a probability of {score.threshold:.3f} or more"
    )
    right = "" if score.precision is None else f", right in {interval(score.precision)} of them"
    return answered + right


def _table(scores: Scores) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from autotl.cli.console import plain

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class", overflow="fold")
    for name in ("images", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for number, each in enumerate(scores.per_class):
        told = any(row[number] for row in scores.confusion)
        there = each.examples > 0
        known = (told, there, there)  # else there is no such figure, not even 0
        figures = zip((each.precision, each.recall, each.f1), known, strict=True)
        count = f"{each.examples:,}" if each.examples else "not in the data"
        cells = (f"{value:.3f}" if defined else "-" for value, defined in figures)
        table.add_row(Text(plain(each.name)), count, *cells)
    return table
