"""The program `autotl`: its commands, and the exit code of whatever they raise."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click

from autotl import __version__
from autotl.cli.backbones import backbones
from autotl.cli.cache import cache
from autotl.cli.commands import Commands
from autotl.cli.completion import completion
from autotl.cli.console import let_go, plain
from autotl.cli.export import export
from autotl.cli.fit import fit
from autotl.cli.inspect import inspect
from autotl.cli.plugins import plugins
from autotl.cli.predict import predict
from autotl.cli.report import report
from autotl.cli.resume import resume
from autotl.cli.verify import verify
from autotl.errors import AutotlError, InternalError, ResourceError

REPORT = "This is a bug in autotl: please report it with what is shown above."

NO_MEMORY = """There is not enough memory for this.
Close other programs, or give fewer examples. A .npz is read whole; images in folders are not."""

HELP = """Transfer learning that measures first.

From a folder of photographs to a verified ONNX classifier: autotl measures how much data there
is and how near it is to what a pretrained network knows, decides what to freeze and what to
train, searches within your budget, evaluates on held-out test images, and exports a
file that takes raw pixels.
"""

EPILOG = """\b
Examples:
  autotl fit photos/ --budget 10m       train on class folders; model.onnx
  autotl inspect photos/                the evidence and the decision only
  autotl predict RUN/model.onnx new/    label new images
  autotl verify RUN/model.onnx photos/  check the file again, and evaluate it
  autotl resume RUN                     go on with an interrupted run
  autotl report RUN --open              what came of it, as a page
  autotl export RUN --to openvino       the model for another runtime

\b
Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 unusable data, 4 plugin or
backbone unusable, 5 budget, memory or disk does not suffice, 6 the exported
model failed its gate or a check, 130 interrupted.
"""


@click.group(
    cls=Commands,
    help=HELP,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", message="autotl %(version)s")
def program() -> None:
    """The group of commands."""


for command in (
    fit,
    inspect,
    predict,
    verify,
    resume,
    report,
    export,
    backbones,
    plugins,
    cache,
    completion,
):
    program.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; nothing but a bug prints a traceback."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    streams = sys.stdout, sys.stderr
    try:
        code = program.main(args=list(arguments), prog_name="autotl", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return _wrong_usage(error)
    except (click.Abort, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as error:
        # a closed pipe: rich exits from within the error, click after it has wrapped the streams
        if sys.stdout is streams[0] and not isinstance(error.__context__, BrokenPipeError):
            raise
        sys.stdout, sys.stderr = streams
        return _reader_left()
    except InternalError as error:
        print(f"autotl: {error}\n{REPORT}", file=sys.stderr)
        return 1
    except AutotlError as error:
        told = "\n".join(map(plain, str(error).split("\n")))  # it may name what a file names
        print(f"autotl: {told}", file=sys.stderr)
        return error.exit_code
    except MemoryError:
        print(f"autotl: {NO_MEMORY}", file=sys.stderr)
        return ResourceError.exit_code
    except Exception:
        logging.getLogger("autotl").exception("unexpected error")
        print(REPORT, file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


def _wrong_usage(error: click.ClickException) -> int:
    """Show click's own error, of the options that it takes for near only the nearest."""
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        nearest = error.possibilities[:1]
        error = click.NoSuchOption(error.option_name, possibilities=nearest, ctx=error.ctx)
    error.show()
    command = getattr(getattr(error, "ctx", None), "info_name", "")
    if command in ("fit", "inspect") and "unexpected extra argument" in error.message:
        print("DATA is one folder, file or name: name the folder that holds them.", file=sys.stderr)
    return error.exit_code


def _reader_left() -> int:
    """The exit code where nobody reads any further: that is no fault of ours."""
    let_go(sys.stdout, sys.stderr)
    return 0
