"""Completion in real shells, what it costs, and that every option with known values has it."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from autotl.cli import completing
from autotl.cli.program import program, run
from autotl.export.formats import FORMATS
from autotl.records import METRICS, STRATEGIES

completion = importlib.import_module("autotl.cli.completion")
ROOT = Path(__file__).parents[1]
HEAVY = {"keras", "tensorflow", "onnx", "onnxruntime", "sklearn", "scipy", "rich", "pandas"}


def values(words: str, incomplete: str = "") -> list[tuple[str, str]]:
    """(type, value) of what the program would complete after `words`."""
    known = BashComplete(program, {}, "autotl", completion.VARIABLE)
    return [(one.type, one.value) for one in known.get_completions(words.split(), incomplete)]


def plain(words: str, incomplete: str = "") -> list[str]:
    found = values(words, incomplete)
    assert all(kind == "plain" for kind, _ in found), found
    return [value for _, value in found]


@pytest.fixture
def path_with_autotl(tmp_path: Path) -> dict[str, str]:
    """An environment in which a shell finds the program, as installed."""
    (tmp_path / "bin").mkdir()
    program_file = tmp_path / "bin" / "autotl"
    program_file.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m autotl "$@"\n'
    )
    program_file.chmod(0o755)
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}


def _run_folder(root: Path, name: str) -> None:
    folder = root / "autotl-runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "model.onnx").write_bytes(b"")


BASH = """
eval "$(autotl completion bash)"
COMP_WORDS=({words}) COMP_CWORD={place}
compopt() {{ echo "compopt $*"; }}
_autotl_completion autotl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def _in_bash(words: str, env: dict[str, str], cwd: Path) -> list[str]:
    script = BASH.format(words=words, place=len(words.split()) - (not words.endswith(" ")))
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=env, cwd=cwd, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_values_runs_and_files(
    path_with_autotl: dict[str, str], tmp_path: Path
) -> None:
    for name in ("photos-1", "birds-2"):
        _run_folder(tmp_path, name)
    env, here = path_with_autotl, tmp_path
    assert _in_bash("autotl in", env, here) == ["inspect"]
    assert "--budget" in _in_bash("autotl fit photos --bu", env, here)
    assert _in_bash("autotl fit photos --strategy sc", env, here) == ["scratch"]
    assert "embedded" in _in_bash("autotl fit photos --backbone em", env, here)
    assert _in_bash("autotl resume autotl-runs/ph", env, here) == ["autotl-runs/photos-1"]
    assert _in_bash("autotl predict autotl-runs/bi", env, here) == [
        "autotl-runs/birds-2/model.onnx"
    ]
    assert _in_bash("autotl fit ph", env, here)[:3] == ["compopt", "-o", "default"]


def _pressed(keys: str, env: dict[str, str], here: Path) -> str:
    """What an interactive bash, on a terminal of its own, runs after these keys."""
    if shutil.which("script") is None:
        pytest.skip("there is no `script` on this machine to give bash a terminal")
    (here / ".bashrc").write_text('eval "$(autotl completion bash)"\nPS1=\n')
    command = f"bash --rcfile {here / '.bashrc'} -i"
    (here / "bin" / "autotl").rename(here / "bin" / "real")
    (here / "bin" / "autotl").write_text(
        '#!/bin/sh\n[ -n "$_AUTOTL_COMPLETE$(echo "$1" | grep completion)" ] && exec '
        f'"{here}/bin/real" "$@"\nprintf "ran:"; printf " <%s>" "$@"; echo\n'
    )
    (here / "bin" / "autotl").chmod(0o755)
    with subprocess.Popen(
        ["script", "-qec", command, "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env | {"TERM": "dumb"},
        cwd=here,
        text=True,
    ) as shell:
        assert shell.stdin is not None
        time.sleep(1.5)
        shell.stdin.write(keys)
        shell.stdin.flush()
        time.sleep(2.5)
        out, _ = shell.communicate("exit\n", timeout=30)
    return out


@pytest.mark.parametrize(
    ("keys", "ran"),
    [
        ("autotl fit x --metric bal\t done\n", "<fit> <x> <--metric> <balanced-accuracy> <done>"),
        ("autotl resume autotl-runs/my\t done\n", "<resume> <autotl-runs/my $run> <done>"),
        ("autotl resume autotl-runs/my\\ \t done\n", "<resume> <autotl-runs/my $run> <done>"),
        ("autotl resume 'autotl-runs/my\t done\n", "<resume> <autotl-runs/my $run> <done>"),
    ],
)
def test_bash_completes_at_the_prompt(
    keys: str, ran: str, path_with_autotl: dict[str, str], tmp_path: Path
) -> None:
    """A key is pressed; what has blanks or dollars arrives as one word."""
    _run_folder(tmp_path, "my $run")
    assert f"ran: {ran}" in _pressed(keys, path_with_autotl, tmp_path)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script(
    shell: str, path_with_autotl: dict[str, str], tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    script = {
        "zsh": 'autoload -U compinit; compinit -u; eval "$(autotl completion zsh)"; '
        "print $_comps[autotl]",
        "fish": "autotl completion fish | source; complete -C 'autotl fit x --strategy sc'",
    }[shell]
    done = subprocess.run(
        [shell, "-c", script], env=path_with_autotl, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {"zsh": "_autotl_completion", "fish": "scratch"}[shell] in done.stdout


@pytest.mark.parametrize("shell", completing.SHELLS)
def test_each_script_calls_this_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{completion.VARIABLE}={shell}_complete" in script
    assert "autotl" in script


def test_values_are_those_that_the_program_takes() -> None:
    assert plain("fit x --strategy") == list(STRATEGIES)
    assert plain("fit x --metric") == list(METRICS)
    assert plain("export x --to") == list(FORMATS)
    assert plain("fit x --resize") == ["squash", "crop"]
    assert plain("predict m x --format") == ["table", "jsonl", "csv"]
    assert plain("completion") == ["bash", "zsh", "fish"]
    assert {"image-folders", "arrays", "digits"} <= set(plain("fit x --loader"))
    assert plain("fit x --backbone", "EMB") == ["embedded"]
    assert "embedded" in plain("fit x --no-plugin")
    assert plain("fit x --backbone embedded --frozen", "st")[:2] == ["stem", "stage1"]
    assert plain("fit x --tap", "stage4") == ["stage4"]
    assert plain("fit x --backbone nothing-like-it --tap") == []


def test_run_folders_come_before_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert values("resume") == [("dir", "")]
    assert values("predict") == [("file", "")]
    assert values("fit", "dig") == [("plain", "digits")]
    for age, name in enumerate(("a-1", "b-1")):
        _run_folder(tmp_path, name)
        os.utime(tmp_path / "autotl-runs" / name, (1000 + age, 1000 + age))
    (tmp_path / "autotl-runs" / "no-run").mkdir()
    (tmp_path / "digested").mkdir()
    assert plain("resume") == ["autotl-runs/b-1", "autotl-runs/a-1"]
    assert plain("export", "autotl-runs/a") == ["autotl-runs/a-1"]
    assert values("export", "/else/where") == [("dir", "/else/where")]
    assert plain("verify")[:1] == ["autotl-runs/b-1/model.onnx"]
    assert values("fit", "dig") == [("file", "dig")]


def _options() -> list[tuple[str, click.Option]]:
    return [
        (name, option)
        for name, command in program.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag
    ]


NUMBERS = (click.types.IntParamType, click.types.FloatParamType)
FREE = ("label_column", "input_column")
"""Their values are whatever a table holds."""


@pytest.mark.parametrize(("command", "option"), _options())
def test_every_option_with_known_values_completes_them(command: str, option: click.Option) -> None:
    if isinstance(option.type, NUMBERS) or option.name in FREE:
        return
    assert values(f"{command} x {option.opts[-1]}" if command else "")


def test_completing_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys\nfrom autotl.cli.program import run\ntry:\n    run([])\nfinally:\n"
    code += "    print(*sys.modules, file=sys.stderr)"
    for words in ("autotl fit --", "autotl fit x --backbone ", "autotl fit x --strategy "):
        env = {
            completion.VARIABLE: "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - (not words.endswith(" "))),
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) > 2
        assert not HEAVY & set(done.stderr.split())
        assert time.monotonic() - began < 5  # a quarter of a second, on an idle machine


def test_a_plugin_set_aside_does_not_write_over_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    discovery = importlib.import_module("autotl.plugins.discovery")
    broken = {"arrays": "autotl.builtin.arrays", "gone": "no_such_module"}
    monkeypatch.setattr(discovery, "BUILTINS", broken)
    assert "arrays" in plain("fit x --loader")
    assert capsys.readouterr().err == ""
