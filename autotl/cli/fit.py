"""`autotl fit DATA`."""

from __future__ import annotations

from typing import Any

import click

from autotl.cli import completing, options


@click.command(epilog="Example: autotl fit photos/ --budget 10m --out runs/photos")
@click.argument("data", shell_complete=completing.data)
@click.option(
    "--out",
    metavar="DIR",
    help="Run folder; autotl-runs/NAME-N if not given.",
    shell_complete=completing.folders,
)
@options.request
@click.option(
    "--metric",
    default="accuracy",
    show_default=True,
    metavar="NAME",
    help="What the search selects by: accuracy, balanced-accuracy, macro-f1 or log-loss.",
    shell_complete=completing.metrics,
)
@options.exported
@click.option("--tensorboard", is_flag=True, help="Write learning curves for TensorBoard.")
@options.cluster
@options.output
def fit(data: str, as_json: bool, quiet: bool, verbose: bool, **asked: Any) -> int | None:
    """Train on DATA and export a verified model.onnx.

    DATA is a folder with one folder a class (with or without train/valid/test folders), a table of
    image paths and labels (.csv, .tsv, .jsonl, .parquet), a .npz file, or the name of bundled data:
    digits.
    """
    from autotl.cli.running import finish
    from autotl.pipeline import fit as fit_data

    asked["disabled_plugins"] = asked.pop("no_plugins")
    return finish(
        lambda heard: fit_data(data, listener=heard, **asked),
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
    )
