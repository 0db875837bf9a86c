"""`autotl cache`."""

from __future__ import annotations

import click


@click.command()
@click.option("--clear", is_flag=True, help="Remove what no running process uses.")
@click.option("--json", "as_json", is_flag=True, help="JSON to standard output.")
def cache(clear: bool, as_json: bool) -> None:
    """Show, or clear, the store of decoded pixels and stage outputs.

    It only saves time: everything in it is computed again when needed. AUTOTL_CACHE names another
    folder, AUTOTL_CACHE_GB another cap.
    """
    from autotl import activations
    from autotl.cli.console import print_json

    freed = activations.clear() if clear else 0
    usage = activations.usage()
    if as_json:
        print_json(
            {
                "folder": str(usage.folder),
                "entries": usage.entries,
                "bytes": usage.bytes,
                "cap": usage.cap,
                "freed": freed,
            }
        )
        return
    if clear:
        print(f"{freed / 1e6:,.0f} MB came free.")
    print(
        f"{usage.folder}: {usage.entries} entries, {usage.bytes / 1e6:,.0f} MB of at most "
        f"{usage.cap / 1e6:,.0f} MB."
    )
