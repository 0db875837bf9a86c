"""`autotl backbones`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from autotl.cli import options

if TYPE_CHECKING:
    from autotl.plugins import OfferedBackbone


@click.command()
@click.option(
    "--no-plugin", "no_plugins", multiple=True, metavar="NAME", help="Leave a plugin out."
)
@options.output
def backbones(as_json: bool, quiet: bool, verbose: bool, no_plugins: tuple[str, ...]) -> None:
    """List the installed backbones.

    Says of each whether its weights are on this machine, and why one cannot be exported.
    """
    from autotl.cli.console import log_level, print_json, show
    from autotl.plugins import discover

    log_level(verbose)
    rows = [_row(offered) for offered in discover(disabled=no_plugins).backbones]
    if as_json:
        print_json(rows)
    elif quiet:
        print("\n".join(row["name"] for row in rows))
    else:
        show([_table(rows)])


def _row(offered: OfferedBackbone) -> dict[str, Any]:
    from autotl.plugins import here
    from autotl.records import to_json

    facts: dict[str, Any] = to_json(offered.backbone)
    return {
        **facts,
        "distribution": offered.distribution,
        "weights_here": here(offered) is not None,
    }


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "parameters", "input", "weights", "license", "source domain"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for row in rows:
        sizes = row["input_sizes"]
        license_ = row["license"] + (
            f"; {row['weights_license']}" if row["weights_license"] else ""
        )
        refused = f"; cannot be exported: {row['no_export']}" if row["no_export"] else ""
        cells = (
            row["name"],
            f"{row['parameters'] / 1e6:.2f} M",
            f"{sizes['least']} to {sizes['most']}",
            ("here" if row["weights_here"] else "not here") + refused,
            license_,
            row["source_domain"],
        )
        table.add_row(*map(Text, cells))  # not markup: a plugin's words may hold brackets
    return table
