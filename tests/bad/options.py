"""Options that cannot be meant, and paths that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bad.case import Case, pets, sound


def _fit(name: str, options: tuple[str, ...], *says: str, outcome: int = 2) -> Case:
    return Case(name=name, make=sound("fit", *options), outcome=outcome, says=says)


def _plain(name: str, arguments: tuple[str, ...], *says: str, outcome: int = 2) -> Case:
    return Case(name=name, make=lambda folder: arguments, outcome=outcome, says=says)


def _out(name: str, write: Callable[[Path], str], *says: str, **more: object) -> Case:
    """`fit` on sound data with the `--out` that `write` gives."""

    def make(folder: Path) -> list[str]:
        pets(folder / "photos")
        return ["fit", str(folder / "photos"), "--out", write(folder)]

    return Case(name=name, make=make, outcome=2, says=says, **more)  # type: ignore[arg-type]


def _file(folder: Path) -> str:
    (folder / "mine.txt").write_text("mine")
    return str(folder / "mine.txt")


def _below_a_file(folder: Path) -> str:
    return f"{_file(folder)}/run"


def _full(folder: Path) -> str:
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.tex").write_text("mine")
    return str(folder / "mine")


def _another_run(folder: Path) -> str:
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text("{}")
    return str(folder / "run")


def _unwritable(folder: Path) -> str:
    (folder / "shut").mkdir(mode=0o555)
    return str(folder / "shut" / "run")


def _circle(folder: Path) -> str:
    (folder / "round").symlink_to("round")
    return str(folder / "round")


def _near(folder: Path) -> list[str]:
    pets(folder / "photos")
    return ["fit", str(folder / "photoes")]


def _weights(folder: Path, content: bytes | None) -> list[str]:
    pets(folder / "photos")
    path = folder / "mine.weights.h5"
    if content is not None:
        path.write_bytes(content)
    return ["fit", str(folder / "photos"), "--backbone", "embedded", "--weights", str(path)]


def _no_weights(folder: Path) -> list[str]:
    return _weights(folder, None)


def _option(option: str, value: str, *says: str, name: str = "", outcome: int = 2) -> Case:
    """One option with one value."""
    label = name or value.strip("-") or "empty"
    return _fit(f"{option.strip('-')}-{label}", (option, value), *says, outcome=outcome)


COMMANDS = (
    _plain("no-command-of-that-name", ("fti", "photos"), "fti", "fit"),
    _plain("no-data", ("fit",), "DATA"),
    _plain("two-data", ("fit", "one", "two"), "two"),
    _plain("unknown-option", ("fit", "digits", "--buget", "5m"), "--buget", "--budget"),
    _plain("option-without-value", ("fit", "digits", "--budget"), "--budget"),
    _plain("predict-without-input", ("predict", "model.onnx"), "INPUT"),
)

VALUES = (
    _option("--budget", "0", "budget"),
    _option("--budget", "-5m", "duration|budget"),
    _option("--budget", "abc", "'abc' is not a duration", "10m"),
    _option("--budget", "1e9999", "1e9999", "10m"),
    _option("--budget", "9" * 400, "duration|budget", name="endless"),
    _option("--budget", "nan", "nan", "10m"),
    _option("--budget", "", "duration", "10m", name="empty"),
    _option("--budget", "10 minutes", "10 minutes", "10m", name="minutes"),
    _option("--trials", "0", "--trials", "at least 1"),
    _option("--trials", "2.5", "--trials", "2.5"),
    _option("--seed", "-1", "--seed", "between 0"),
    _option("--seed", str(2**32), "--seed", "between 0"),
    _option("--seed", "x", "--seed"),
    _option("--strategy", "finetune", "finetune", "full-fine-tune"),
    _option("--strategy", "", "strategy", "full-fine-tune", name="empty"),
    _option("--metric", "acuracy", "accuracy"),
    _option("--backbone", "embeded", "embeded", "embedded", outcome=4),
    _option("--backbone", "", "backbone is empty", name="empty"),
    _option("--loader", "image-folder", "image-folders"),
    _option("--resize", "stretch", "squash, crop"),
    _option("--input-size", "0", "--input-size", "at least 1"),
    _option("--input-size", "7", "inputs of 7 pixels", "Give another", outcome=4),
    _option("--input-size", str(10**9), "1000000000", "Give another", outcome=4),
    _option("--frozen", "stage1", "--strategy partial-freeze"),
    _option("--tap", "stage1", "--strategy feature-extraction"),
    _option("--learning-rate", "0.01", "--learning-rate", "--strategy"),
    _option("--target-precision", "95", "--target-precision", "between 0 and 1"),
    _option("--target-precision", "nan", "--target-precision"),
    _option("--int8-points", "2", "--int8"),
    _option("--weights", "mine.h5", "--backbone"),
    _option("--no-plugin", "image-folders", "no loader|nothing that a loader|No loader", outcome=3),
    _option("--no-plugin", "", "disabled_plugins|--no-plugin", name="empty"),
    _fit(
        "frozen-for-another-strategy",
        ("--strategy", "scratch", "--frozen", "stage1"),
        "--frozen is for --strategy partial-freeze, not for scratch",
    ),
    _fit(
        "frozen-stage-that-is-none",
        ("--strategy", "partial-freeze", "--backbone", "embedded", "--frozen", "stage99"),
        "stage99",
        "Known: ",
    ),
    _fit(
        "learning-rate-of-nothing",
        ("--strategy", "scratch", "--learning-rate", "0"),
        "--learning-rate must be between 0 and 1",
    ),
    Case(name="weights-that-are-not-there", make=_no_weights, outcome=4, says=("mine.weights.h5",)),
)

PLACES = (
    _out("out-is-a-file", _file, "mine.txt is a file", "Name a folder"),
    _out("out-is-below-a-file", _below_a_file, "mine.txt", "--out"),
    _out("out-holds-other-files", _full, "is not empty and holds no run", "Name a new"),
    _out("out-holds-a-run", _another_run, "holds another run", "autotl resume"),
    _out("out-is-a-circle", _circle, "round"),
    _out("out-may-not-be-written", _unwritable, "Permission denied", "--out", unprivileged=True),
    _out("out-is-the-data", lambda folder: str(folder / "photos"), "is not empty"),
    _out("out-is-empty", lambda folder: "", "--out|out is empty"),
    _out("out-has-a-null", lambda folder: f"{folder}/a\0b", r"a\\x00b|null"),
    Case(
        name="data-nearly-there",
        make=_near,
        outcome=3,
        says=(
            "photoes",
            "Did you mean .*photos",
        ),
    ),
    _plain("data-empty", ("fit", ""), "data is empty"),
    _plain("data-is-a-dash", ("fit", "-"), "'-'", "no file or folder", outcome=3),
    _plain("data-with-a-null", ("fit", "a\0b"), r"a\\x00b", outcome=3),
    _plain("data-of-no-user", ("fit", "~nobody-of-this-name/x"), "no file or folder", outcome=3),
    _plain(
        "data-is-an-address",
        ("fit", "https://example.org/photos.zip"),
        "https://example.org/photos.zip",
        "[Dd]ownload",
        outcome=3,
    ),
    _plain("data-nearly-built-in", ("fit", "digit"), "Did you mean digits", outcome=3),
    _plain("data-is-a-device", ("fit", "/dev/null"), "/dev/null", outcome=3),
)

CASES: tuple[Case, ...] = (*COMMANDS, *VALUES, *PLACES)
