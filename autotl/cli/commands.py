"""The group of commands: its first screen, and what was meant by a word that is no command."""

from __future__ import annotations

import difflib
from pathlib import Path
from shlex import quote

import click

from autotl.cli.completing import BUNDLED

FIRST = """autotl: from a folder of photographs to a verified ONNX classifier.

  autotl fit digits --budget 2m     try it on bundled data, about a minute
  autotl inspect photos/            measure your photographs; train nothing
  autotl fit photos/ --budget 10m   train on them: one folder a class

autotl --help lists all commands, autotl fit --help the options of one.
"""


class Commands(click.Group):
    """A group that says what to try where it is given nothing, or something else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the first screen where there are no arguments; exit code 2."""
        if not args and not ctx.resilient_parsing:
            click.echo(FIRST, err=True, nl=False)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of that name; else an error with what was probably meant."""
        word = args[0]
        if self.get_command(ctx, word) or ctx.resilient_parsing or word.startswith("-"):
            return super().resolve_command(ctx, args)
        near = meant(word, args[1:], list(self.commands))
        guess = f" Did you mean: autotl {near}" if near else ""
        raise click.UsageError(f"There is no command {word!r}.{guess}", ctx)


def meant(word: str, rest: list[str], commands: list[str]) -> str:
    """The command line that `word`, no command, was probably meant as; "" where nobody knows."""
    near = difflib.get_close_matches(word.lower(), commands, n=1)
    path = Path(word)
    if word not in BUNDLED and not _there(path):
        return _line(near[0], *rest) if near else ""
    if path.suffix == ".onnx":
        return _line("predict", word, *(rest or ["IMAGE..."]))
    if _there(path / "run.json"):
        if _there(path / "model.onnx"):
            return _line("predict", word, *(rest or ["IMAGE..."]))
        return _line("resume", word, *rest)
    return _line("fit", word, *rest)


def _line(command: str, *words: str) -> str:
    return " ".join([command, *(word if word == "IMAGE..." else quote(word) for word in words)])


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
