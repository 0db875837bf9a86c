"""Puts what the scripts print of their rows into the pages, between marks; a test holds them to it.

    python benchmarks/results.py [NAME...]

`<!-- NAME -->` to `<!-- /NAME -->` in RESULTS.md is what `NAME.py --table` prints, but for the
machine that prints it (`NAME:2`: its first two blocks). `<!-- ways -->` in README.md is the rows of
`WAYS` in the first table of `strategies.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS, README = HERE / "RESULTS.md", HERE.parent / "README.md"
STRATEGIES = "strategies"
WAYS = (
    "autotl",
    "always feature-extraction",
    "always partial-freeze",
    "always full-fine-tune",
    "always scratch",
    "full-fine-tune or the probe",
    "table, fixed lines",
    "size only",
    "similarity only",
    "best of a tenth each",
)


def main() -> None:
    """Fill the marks that were named, or all."""
    page, readme = RESULTS.read_text("utf-8"), README.read_text("utf-8")
    known = names(page)
    if unknown := set(sys.argv[1:]) - set(known):
        sys.exit(
            f"{RESULTS.name} has no marks of {', '.join(sorted(unknown))}: {', '.join(known)}."
        )
    for name in sys.argv[1:] or known:
        text = printed(name)
        page = filled(page, name, text)
        if name == STRATEGIES:
            readme = filled(readme, "ways", ways(text))
    RESULTS.write_text(page, "utf-8")
    README.write_text(readme, "utf-8")


def names(page: str) -> list[str]:
    """Names of the marks of a page, in order."""
    return re.findall(r"^<!-- (\w+(?::\d+)?) -->$", page, re.MULTILINE)


def printed(name: str) -> str:
    """What a mark stands for, without a first line of the machine that prints it."""
    script, _, blocks = name.partition(":")
    command = [sys.executable, str(HERE / f"{script}.py"), "--table"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    text = told.split("\n", 1)[1].strip() if told.startswith("Machine:") else told.strip()
    return "\n\n".join(text.split("\n\n")[: int(blocks)]) if blocks else text


def between(page: str, name: str) -> str:
    """What stands between the marks."""
    start, end = _places(page, name)
    return page[start:end].strip()


def filled(page: str, name: str, text: str) -> str:
    """The page with this text between the marks."""
    start, end = _places(page, name)
    return f"{page[:start]}\n{text}\n\n{page[end:]}"


def ways(text: str) -> str:
    """The head of the first table of `strategies.py`, and the rows of `WAYS`."""
    lines = [line for line in text.split("\n\n")[1].splitlines() if line.startswith("|")]
    rows = {line.split("|")[1].strip(): line for line in lines[2:]}
    return "\n".join([*lines[:2], *(rows[name] for name in WAYS)])


def _places(page: str, name: str) -> tuple[int, int]:
    mark = f"<!-- {name} -->\n"
    start = page.index(mark) + len(mark)
    return start, page.index(f"<!-- /{name} -->", start)


if __name__ == "__main__":
    main()
