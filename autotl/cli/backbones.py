"""`autotl backbones`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from autotl.cli import completing, options

if TYPE_CHECKING:
    from autotl.plugins import OfferedBackbone


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
def backbones(as_json: bool, quiet: bool, verbose: bool, no_plugins: tuple[str, ...]) -> None:
    """List the installed backbones.

    Says of each whether its weights are on this machine, and why one cannot be exported or cut.
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
        show(_shown(rows))


def _row(offered: OfferedBackbone) -> dict[str, Any]:
    from autotl.plugins import here
    from autotl.records import to_json

    facts: dict[str, Any] = to_json(offered.backbone)
    return {
        **facts,
        "distribution": offered.distribution,
        "weights_here": here(offered) is not None,
    }


def _shown(rows: list[dict[str, Any]]) -> list[Any]:
    """A table of a line each, those first whose weights are here; and what many have in common,
    said once with the names that it holds for.
    """
    rows = sorted(rows, key=lambda row: not row["weights_here"])
    licences = {row["name"]: _licence(row) for row in rows}
    domains = {row["name"]: row["source_domain"] for row in rows}
    uncut = {row["name"]: row["no_partial_freeze"] for row in rows}
    refused = {row["name"]: row["no_export"] for row in rows}
    return [
        _table(rows),
        *_grouped("Licence", licences),
        *_grouped("Trained on", domains),
        *_grouped("No partial freeze", uncut),
        *_grouped("Cannot be exported", refused),
    ]


def _licence(row: dict[str, Any]) -> str:
    own: str = row["license"]
    return f"{own}; the weights: {row['weights_license']}" if row["weights_license"] else own


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "parameters", "input", "weights"):
        right = heading == "parameters"
        table.add_column(heading, no_wrap=True, justify="right" if right else "left")
    for row in rows:
        sizes = row["input_sizes"]
        cells = (
            row["name"],
            f"{row['parameters'] / 1e6:.2f} M",
            f"{sizes['least']} to {sizes['most']}",
            "here" if row["weights_here"] else "not here",
        )
        table.add_row(*map(Text, cells))  # not markup: a plugin's words may hold brackets
    return table


def _grouped(title: str, words: dict[str, str]) -> list[Any]:
    """The words of the backbones, each once, before the names that they are said of; nothing where
    there are none.
    """
    from rich.table import Table
    from rich.text import Text

    names: dict[str, list[str]] = {}
    for name, said in words.items():
        if said:
            names.setdefault(said, []).append(name)
    if not names:
        return []
    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for said, held in names.items():
        table.add_row("  -", Text(f"{said.rstrip('.')}: {', '.join(held)}"))
    return [table, Text()]
