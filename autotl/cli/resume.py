"""`autotl resume RUN`."""

from __future__ import annotations

import click

from autotl.cli import options


@click.command()
@click.argument("run")
@click.option(
    "--budget",
    metavar="TIME",
    help="New wall-clock limit of the whole run, its earlier sittings included.",
)
@click.option("--trials", type=int, metavar="N", help="New number of trials at most, in all.")
@options.output
def resume(
    run: str, budget: str | None, trials: int | None, as_json: bool, quiet: bool, verbose: bool
) -> int | None:
    """Go on with an interrupted RUN (its folder).

    Finished steps and trials are taken from the run's journal; the data must be what it was.
    """
    from autotl.cli.running import finish
    from autotl.pipeline import resume as resume_run

    return finish(
        lambda heard: resume_run(run, budget=budget, trials=trials, listener=heard),
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
    )
