"""`autotl export RUN --to FORMAT`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autotl.cli import completing, options

if TYPE_CHECKING:
    from autotl.records import Delivered


@click.command(
    short_help="Write a finished RUN's model for another server or runtime.",
    epilog="Example: autotl export runs/photos --to openvino --out models/photos",
)
@click.argument("run", shell_complete=completing.runs)
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="openvino, saved-model (TensorFlow) or triton (a model repository).",
    shell_complete=completing.formats,
)
@click.option(
    "--out",
    metavar="DIR",
    help="New folder; RUN/export/FORMAT if not given.",
    shell_complete=completing.folders,
)
@options.output
def export(run: str, to: str, out: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Write the model of a finished RUN in the form that a server runs.

    What was written is run, and held against the trained model on the validation images as
    model.onnx was; where it answers otherwise, nothing is left and the exit code is 6.
    """
    from autotl.cli.console import listener, print_json
    from autotl.delivery import deliver
    from autotl.records import to_json

    with listener(quiet=quiet, verbose=verbose) as heard:
        delivered = deliver(run, to, out=out, listener=heard)
    if as_json:
        print_json(to_json(delivered))
    elif quiet:
        print(delivered.folder)
    else:
        print("\n".join(_lines(delivered)))


def _lines(delivered: Delivered) -> list[str]:
    parity = delivered.parity
    size = sum(file.size for file in delivered.files)
    return [
        f"{delivered.format}: {len(delivered.files)} files, {size / 1e6:.1f} MB, checked in "
        f"{delivered.seconds:.0f} s",
        f"  same label on {100 * parity.top1_agreement:.1f} % of {parity.examples:,} raw "
        "validation images",
        f"  probabilities differ by {parity.median_difference:.1e} at the median, "
        f"{parity.largest_difference:.1e} at most",
        *(f"  - {check}" for check in delivered.checks),
        f"Folder  {delivered.folder} (README.md says how to run it)",
    ]
