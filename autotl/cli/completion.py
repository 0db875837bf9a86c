"""`autotl completion SHELL`."""

from __future__ import annotations

import click

from autotl.cli import completing

VARIABLE = "_AUTOTL_COMPLETE"
"""What the printed script sets for the program to complete and do nothing else (click's rule)."""


@click.command(
    epilog="""\b
Install it with one line, then open a new shell:
  echo 'eval "$(autotl completion bash)"' >> ~/.bashrc
  echo 'eval "$(autotl completion zsh)"' >> ~/.zshrc
  autotl completion fish > ~/.config/fish/completions/autotl.fish
"""
)
@click.argument("shell", metavar="[bash|zsh|fish]", shell_complete=completing.shells)
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script by which a shell completes autotl.

    Commands and options are completed, and values too: strategies, metrics, formats, installed
    backbones and loaders, run folders, files.
    """
    from click.shell_completion import get_completion_class

    from autotl.request import one_of

    made = get_completion_class(one_of(shell, completing.SHELLS, "shell"))
    assert made is not None  # click has them all
    script = made(ctx.find_root().command, {}, "autotl", VARIABLE).source()
    print(_quoting(script) if shell.lower() == "bash" else script)


def _quoting(script: str) -> str:
    """Click's script for bash with values quoted as words, unless the word begins with a quote;
    the other shells quote by themselves.
    """
    begun = """[[ ${COMP_WORDS[COMP_CWORD]} == [\\"\\']* ]]"""
    return script.replace(
        "COMPREPLY+=($value)",
        f"""{begun} || printf -v value '%q' "$value"
            COMPREPLY+=("$value")""",
    )
