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

    with listener(quiet=quiet, verbose=verbose) as heard:
        try:
            fitted = work(heard)
        except KeyboardInterrupt as error:
            folder = getattr(error, "run_folder", None)
            how = f" Go on with: autotl resume {quote(str(folder))}" if folder else ""
            print(f"Interrupted; what was finished is kept.{how}", file=sys.stderr)
            return 130
    if as_json:
        print_json(fitted.report)
    elif quiet:
        print(fitted.folder / "model.onnx")
    else:
        show(summary(fitted.report, _from_here(fitted.folder)))
    return None


def _from_here(folder: Path) -> str:
    """The folder as one would type it: relative where it lies below this one."""
    here = Path.cwd()
    return str(folder.relative_to(here) if here in folder.parents else folder)
