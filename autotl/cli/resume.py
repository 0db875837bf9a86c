"""`autotl resume RUN`."""

from __future__ import annotations

from typing import Any

import click

from autotl.cli import completing, options


@click.command()
@click.argument("run", shell_complete=completing.runs)
@click.option(
    "--budget",
    metavar="TIME",
    help="New wall-clock limit of the whole run, its earlier sittings included.",
    shell_complete=completing.budgets,
)
@click.option("--trials", type=int, metavar="N", help="New number of trials at most, in all.")
@options.cluster
@options.output
def resume(run: str, as_json: bool, quiet: bool, verbose: bool, **limits: Any) -> int | None:
    """Go on with an interrupted RUN (its folder).

    Finished steps and trials are taken from the run's journal; the data must be what it was.
    """
    from autotl.cli.running import finish
    from autotl.pipeline import resume as resume_run

    return finish(
        lambda heard: resume_run(run, listener=heard, **limits),
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
    )
