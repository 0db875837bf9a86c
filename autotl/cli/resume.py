"""`autotl resume RUN`."""

from __future__ import annotations

import click

from autotl.cli import options


@click.command()
@click.argument("run")
@options.output
def resume(run: str, as_json: bool, quiet: bool, verbose: bool) -> int | None:
    """Go on with an interrupted RUN (its folder).

    Finished steps and trials are taken from the run's journal; the data must be what it was.
    """
    from autotl.cli.running import finish
    from autotl.pipeline import resume as resume_run

    return finish(
        lambda heard: resume_run(run, listener=heard),
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
    )
