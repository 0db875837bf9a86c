"""`autotl plugins`."""

from __future__ import annotations

from typing import Any

import click

from autotl.cli import completing, options


@click.command()
@click.option(
    "--no-plugin",
    "no_plugins",
    multiple=True,
    metavar="NAME",
    help="Leave a plugin out.",
    shell_complete=completing.plugins,
)
@options.output
def plugins(as_json: bool, quiet: bool, verbose: bool, no_plugins: tuple[str, ...]) -> None:
    """List the plugins and what they bring.

    Also those that were set aside, and why.
    """
    from autotl.cli.console import log_level, print_json, show
    from autotl.plugins import discover
    from autotl.records import to_json

    log_level(verbose)
    rows: list[dict[str, Any]] = to_json(discover(disabled=no_plugins).listed)
    if as_json:
        print_json(rows)
    elif quiet:
        print("\n".join(row["name"] for row in rows))
    else:
        show([_table(rows)])


def _some(names: list[str], most: int = 4) -> str:
    """The first names, and how many more there are; `--json` and `autotl backbones` list all."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "") or "-"


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("plugin", "distribution", "status", "backbones", "loaders", box=box.SIMPLE_HEAD)
    for row in rows:
        status = row["status"] + (f": {row['reason']}" if row["reason"] else "")
        cells = (
            row["name"],
            f"{row['distribution']} {row['version']}".strip(),
            status,
            _some(row["backbones"]),
            _some(row["loaders"]),
        )
        table.add_row(*map(Text, cells))  # not markup: a reason may hold brackets
    return table
