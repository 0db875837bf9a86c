"""`autotl inspect DATA`."""

from __future__ import annotations

from typing import Any

import click

from autotl.cli import completing, options


@click.command(epilog="Example: autotl inspect photos/ --budget 10m")
@click.argument("data", shell_complete=completing.data)
@options.request
@options.output
def inspect(data: str, as_json: bool, quiet: bool, verbose: bool, **asked: Any) -> None:
    """Measure DATA and decide, but train nothing.

    Shows the evidence (size, similarity, probes of every stage) and every strategy's predicted
    accuracy and minutes.
    """
    from autotl.cli.console import listener, print_json, show
    from autotl.pipeline import inspect as inspect_data
    from autotl.report.terminal import evidence

    asked["disabled_plugins"] = asked.pop("no_plugins")
    with listener(quiet=quiet, verbose=verbose) as heard:
        found = inspect_data(data, listener=heard, **asked)
    if as_json:
        print_json(found.document())
    else:
        rate = found.recipe_learning_rate
        show(evidence(found.measurements, found.decision, rate, found.estimate))
