"""Values that a shell completes: names, run folders, files. Nothing heavy is imported for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    import click

    from autotl.plugins import Plugins

Items = list[CompletionItem]
Completer = Callable[["click.Context", "click.Parameter", str], Items]

RUNS = Path("autotl-runs")
FORMATS = ("openvino", "saved-model", "triton")
SHAPES = ("table", "jsonl", "csv")
BUNDLED = ("digits",)
SHELLS = ("bash", "zsh", "fish")


def _names(of: Callable[[click.Context], Iterable[str]]) -> Completer:
    """Completes what begins like one of these names, without regard to case; in order."""

    @wraps(of)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        begun = incomplete.lower()
        return [CompletionItem(name) for name in of(ctx) if name.lower().startswith(begun)]

    return complete


@_names
def budgets(ctx: click.Context) -> Iterable[str]:
    """Budgets that are often asked for."""
    return "2m", "10m", "30m", "1h"


@_names
def none(ctx: click.Context) -> Iterable[str]:
    """The word that leaves out a column that was found."""
    return ("none",)


@_names
def strategies(ctx: click.Context) -> Iterable[str]:
    """The four strategies."""
    from autotl.records import STRATEGIES

    return STRATEGIES


@_names
def metrics(ctx: click.Context) -> Iterable[str]:
    """What a search selects by."""
    from autotl.records import METRICS

    return METRICS


@_names
def resizes(ctx: click.Context) -> Iterable[str]:
    """The policies of resizing."""
    from autotl.request import RESIZES

    return RESIZES


@_names
def formats(ctx: click.Context) -> Iterable[str]:
    """What a model is exported to."""
    return FORMATS


@_names
def shapes(ctx: click.Context) -> Iterable[str]:
    """What `predict` prints."""
    return SHAPES


@_names
def shells(ctx: click.Context) -> Iterable[str]:
    """The shells that are completed in."""
    return SHELLS


@_names
def clusters(ctx: click.Context) -> Iterable[str]:
    """The one address that needs no host."""
    return ("auto",)


@_names
def backbones(ctx: click.Context) -> Iterable[str]:
    """The installed backbones, and "auto"."""
    return "auto", *(offered.backbone.name for offered in _found().backbones)


@_names
def loaders(ctx: click.Context) -> Iterable[str]:
    """The installed loaders."""
    return [loader.name for loader in _found().loaders]


@_names
def plugins(ctx: click.Context) -> Iterable[str]:
    """Everything that could be left out, set aside or not."""
    return [listed.name for listed in _found().listed]


@_names
def stages(ctx: click.Context) -> Iterable[str]:
    """The stages of the backbone named before, else of the one that comes with the package."""
    named = str(ctx.params.get("backbone") or "auto").lower()
    wanted = "embedded" if named == "auto" else named
    known = (offered.backbone for offered in _found().backbones)
    return [stage for one in known if one.name.lower() == wanted for stage in one.stages]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Files and folders, by the shell itself."""
    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Folders, by the shell itself."""
    return [CompletionItem(incomplete, type="dir")]


def data(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Files and folders; a bundled name where nothing here begins like it."""
    bundled = [name for name in BUNDLED if incomplete and name.startswith(incomplete)]
    if bundled and not any(one.name.startswith(incomplete) for one in _inside(Path())):
        return [CompletionItem(name) for name in bundled]
    return files(ctx, param, incomplete)


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Run folders below `autotl-runs`, the last ones first; else folders."""
    found = [str(run) for run in _runs() if str(run).startswith(incomplete)]
    return [CompletionItem(run) for run in found] or folders(ctx, param, incomplete)


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Models here and of the runs below `autotl-runs`; else files."""
    here = [one.name for one in _inside(Path()) if one.suffix == ".onnx"]
    made = [str(run / "model.onnx") for run in _runs() if (run / "model.onnx").is_file()]
    found = [name for name in (*here, *made) if name.startswith(incomplete)]
    return [CompletionItem(name) for name in found] or files(ctx, param, incomplete)


def _runs() -> list[Path]:
    """The run folders, by the time of their last change, the last ones first."""
    found = [run for run in _inside(RUNS) if (run / "run.json").is_file()]
    return sorted(found, key=lambda run: run.stat().st_mtime, reverse=True)


def _inside(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _found() -> Plugins:
    """The plugins; a line about one that is set aside would be written over the command line."""
    from autotl.plugins import discover

    log = logging.getLogger("autotl")
    log.disabled = True
    try:
        return discover()
    finally:
        log.disabled = False
