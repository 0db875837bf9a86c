"""`autotl report RUN`."""

from __future__ import annotations

import sys

import click

from autotl.cli import completing


@click.command(epilog="Example: autotl report autotl-runs/photos-1 --open")
@click.argument("run", shell_complete=completing.runs)
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
def report(run: str, show: bool) -> None:
    """Write RUN's report.html again and say where it is.

    It is made from what the run recorded: neither the data nor a network is needed. RUN is the
    folder of a finished run.
    """
    from autotl.cli.console import plain
    from autotl.fitted import load

    path = load(run).render().absolute()
    print(plain(str(path)))
    if show and not _opened(path.as_uri()):
        print("No browser was found: open the file above yourself.", file=sys.stderr)


def _opened(address: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
