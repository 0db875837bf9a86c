"""The networks as a table in Markdown, for the README; a test holds it to the data.

    python -m autotl_keras_applications.table [README]

prints it, or puts it into that file between `<!-- networks -->` and `<!-- /networks -->`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from autotl_keras_applications.networks import NETWORKS, Mode, Network

START, END = "<!-- networks -->", "<!-- /networks -->"
HEADINGS = (
    "backbone",
    "parameters",
    "inputs, pixels a side",
    "preprocessing",
    "stages",
    "weights trained on, at",
    "weights' licence",
)
PREPROCESSING: dict[Mode, str] = {
    "tf": "-1 to 1",
    "torch": "mean and deviation of ImageNet",
    "caffe": "BGR less the mean of ImageNet",
    "halves": "by 1/128, less 1",
}


def main() -> None:
    """Print the table, or fill the file that was named."""
    if len(sys.argv) > 2:
        sys.exit("usage: python -m autotl_keras_applications.table [README]")
    if len(sys.argv) == 1:
        print(table())
        return
    path = Path(sys.argv[1])
    page = path.read_text("utf-8")
    if START not in page or END not in page:
        sys.exit(f"{path} has no lines {START} and {END}.")
    path.write_text(filled(page, table()), "utf-8")


def table() -> str:
    """The table, and below it what some networks cannot do, with the reasons."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(_row, NETWORKS)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, *_reasons()])


def between(page: str) -> str:
    """What stands between the marks of a page."""
    return page.partition(START)[2].partition(END)[0].strip()


def filled(page: str, text: str) -> str:
    """The page with this text between its marks."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def _row(network: Network) -> tuple[str, ...]:
    sizes = network.sizes
    trained = ", ".join(str(one.trained_at) for one in network.files)
    return (
        f"`{network.name}`",
        f"{network.parameters:,}",
        f"{sizes.least} to {sizes.most}, steps of {sizes.step}",
        PREPROCESSING[network.mode],
        str(len(network.stages)),
        f"{network.source_domain.split(' (')[0]}, {trained}",
        network.license,
    )


def _reasons() -> Iterator[str]:
    for field, what in (("no_partial_freeze", "partial freeze"), ("no_export", "export to ONNX")):
        names: dict[str, list[str]] = {}
        for network in NETWORKS:
            if reason := getattr(network, field):
                names.setdefault(reason, []).append(f"`{network.name}`")
        for reason, held in names.items():
            yield f"\nNo {what} with {', '.join(held)}: {reason}."


if __name__ == "__main__":
    main()
