"""`autotl verify MODEL [DATA]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from autotl.cli import completing, options

if TYPE_CHECKING:
    from autotl.records import Verified, VerifiedData


@click.command(
    short_help="Check an exported MODEL again; evaluate it on DATA.",
    epilog="Example: autotl verify RUN/model.onnx photos/",
)
@click.argument("model", shell_complete=completing.models)
@click.argument("data", required=False, shell_complete=completing.data)
@click.option(
    "--loader",
    metavar="NAME",
    help="Loader, where several could read the data.",
    shell_complete=completing.loaders,
)
@options.of_columns
@click.option(
    "--no-plugin",
    "no_plugins",
    multiple=True,
    metavar="NAME",
    help="Leave this plugin out; may be repeated.",
    shell_complete=completing.plugins,
)
@options.output
def verify(
    model: str,
    data: str | None,
    no_plugins: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **named: Any,
) -> None:
    """Check an exported MODEL again as it lies there, and evaluate it on DATA.

    Without DATA: is the file safe and sound ONNX, and does onnxruntime give the same answers with
    and without its optimisations? DATA is what `fit` takes, with classes of the model. If it is
    the data that the model was made from, the run's own test images are found again, and the
    accuracy is compared with what the model's card says. Exit code 6 says that a check failed.
    """
    from autotl.cli.console import listener, print_json, show
    from autotl.delivery import verify as verify_model
    from autotl.records import to_json

    with listener(quiet=quiet, verbose=verbose) as heard:
        found = verify_model(
            model, data, disabled_plugins=no_plugins, progress=heard.progress, **named
        )
    if as_json:
        print_json(to_json(found))
    else:
        show(_told(found))


def _told(found: Verified) -> Iterator[Any]:
    from rich.text import Text

    from autotl.cli.console import plain

    size, classes = _size(found.size), len(found.classes)
    yield Text(f"{plain(found.model)}: {size}, {classes} classes, sha256 {found.sha256}")
    for each in found.beside:
        yield Text(f"  with {plain(each.path)}: {_size(each.size)}, sha256 {each.sha256}")
    yield from (Text(f"  passed: {check}") for check in found.checks)
    if found.data is not None:
        yield from _on_data(found.data)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _on_data(data: VerifiedData) -> Iterator[Any]:
    from rich.text import Text

    from autotl.cli.console import plain
    from autotl.cli.scores import interval, lines

    yield Text("")
    words = {
        "run's test rows": "Data: the model's own; the run's test images are found again",
        "test split": "Data: not the run's, though it may share images with it; its test split",
        "all": "Data: not the run's, though it may share images with it; all of it",
    }
    yield Text(words[data.rows])
    yield from (Text(f"  ! {plain(note)}") for note in data.notes)
    yield from lines(data.scores)
    if data.card is None:
        yield Text("The card tells no accuracy to compare with.")
        return
    told = f"The card says {interval(data.card)} on {data.card_examples:,} test images"
    if data.difference is None:
        yield Text(f"{told}, which need not be these: the two need not be equal.")
    elif data.difference:
        images = "1 image" if data.difference == 1 else f"{data.difference} images"
        yield Text(f"{told}: {images} apart.")
    else:
        yield Text(f"{told}: equal.")
