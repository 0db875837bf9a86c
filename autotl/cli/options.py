"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from autotl.cli import completing

F = TypeVar("F", bound=Callable[..., Any])


def _all(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


columns = (
    click.option("--input-column", metavar="NAME", help="Column of a table that names the images."),
    click.option("--label-column", metavar="NAME", help="Column of a table that holds the labels."),
    click.option(
        "--group-column",
        metavar="NAME",
        help="Column of a table whose equal values stay on one side of a split, or none.",
        shell_complete=completing.none,
    ),
    click.option(
        "--split-column",
        metavar="NAME",
        help="Column of a table that says train, validation or test, or none.",
        shell_complete=completing.none,
    ),
)

request = _all(
    click.option(
        "--budget",
        metavar="TIME",
        help="Wall-clock limit such as 90s, 10m or 1h (a number alone: seconds); 10m if neither "
        "it nor --trials is given.",
        shell_complete=completing.budgets,
    ),
    click.option(
        "--trials",
        type=int,
        metavar="N",
        help="Number of trials at most; alone it sets no clock.",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Of splits, training and proposals.",
    ),
    click.option(
        "--strategy",
        metavar="NAME",
        help="feature-extraction, partial-freeze, full-fine-tune or scratch; decided if not given.",
        shell_complete=completing.strategies,
    ),
    click.option(
        "--backbone",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="Pretrained network (see `autotl backbones`); auto: the largest with weights here, "
        "unless a probe of another one is clearly better.",
        shell_complete=completing.backbones,
    ),
    click.option(
        "--input-size",
        type=int,
        metavar="PIXELS",
        help="Side of the images that the network gets; from their own size if not given.",
    ),
    click.option(
        "--frozen",
        metavar="STAGE",
        help="Last stage that stays frozen; needs --strategy partial-freeze.",
        shell_complete=completing.stages,
    ),
    click.option(
        "--tap",
        metavar="STAGE",
        help="Stage whose output the head reads; needs --strategy feature-extraction.",
        shell_complete=completing.stages,
    ),
    click.option(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="Of the head at its peak, of which stages take a part; needs a --strategy that "
        "trains stages.",
    ),
    click.option(
        "--resize",
        metavar="POLICY",
        help="squash (to a square) or crop (shorter side, then the centre), the same in training "
        "and in the exported model; the backbone's own if not given.",
        shell_complete=completing.resizes,
    ),
    click.option(
        "--weights",
        metavar="FILE",
        help="Weights file; needs --backbone NAME.",
        shell_complete=completing.files,
    ),
    click.option(
        "--loader",
        metavar="NAME",
        help="Loader, where several could read the data.",
        shell_complete=completing.loaders,
    ),
    *columns,
    click.option(
        "--no-plugin",
        "no_plugins",
        multiple=True,
        metavar="NAME",
        help="Leave this plugin out; may be repeated.",
        shell_complete=completing.plugins,
    ),
)

of_columns = _all(*columns)

exported = _all(
    click.option(
        "--target-precision",
        type=float,
        metavar="SHARE",
        help="Choose the confidence under which the model abstains, so that this share of its "
        "answers is right (0.95, say).",
    ),
    click.option("--embedding", is_flag=True, help="model.onnx also gives what its head reads."),
    click.option(
        "--int8",
        is_flag=True,
        help="Write model.int8.onnx too, if it is faster here and loses too little accuracy.",
    ),
    click.option(
        "--int8-points",
        type=float,
        default=1.0,
        show_default=True,
        metavar="POINTS",
        help="Accuracy that int8 may lose, with 95 % confidence.",
    ),
    click.option("--float16", is_flag=True, help="Write model.float16.onnx too: half the size."),
)

cluster = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Train the trials on this Ray cluster (auto, HOST:PORT); needs autotl[ray].",
    shell_complete=completing.clusters,
)

output = _all(
    click.option("--json", "as_json", is_flag=True, help="JSON to standard output."),
    click.option("-q", "--quiet", is_flag=True, help="No progress, only the result."),
    click.option("-v", "--verbose", is_flag=True, help="Show every warning and the log."),
)
