"""What `fit` and `resume` share: run with progress, then print the report or its summary."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from autotl.cli.console import Live, Plain, Quiet, listener, print_json, show

if TYPE_CHECKING:
    from autotl.fitted import Fitted


def finish(
    work: Callable[[Quiet | Plain | Live], Fitted], *, as_json: bool, quiet: bool, verbose: bool
) -> int | None:
    """Run `work`, print what came of it; 130 with how to resume where it was interrupted."""
    from autotl.report.terminal import summary

    try:
        with listener(quiet=quiet, verbose=verbose) as heard:
            fitted = work(heard)
    except KeyboardInterrupt as error:  # told once no bar is left that would wrap the command
        folder = getattr(error, "run_folder", None)
        print("Interrupted; what was finished is kept.", file=sys.stderr)
        if folder:
            print(f"Go on with: autotl resume {quote(_from_here(folder))}", file=sys.stderr)
        return 130
    if as_json:
        print_json(fitted.report)
    elif quiet:
        print(fitted.folder / "model.onnx")
    else:
        page = (fitted.folder / "report.html").is_file()
        show(summary(fitted.report, _from_here(fitted.folder), page=page))
    return None


def _from_here(folder: Path) -> str:
    """The folder as one would type it: relative where it lies below this one."""
    here = Path.cwd()
    return str(folder.relative_to(here) if here in folder.parents else folder)
