"""Write the corpus: a folder a case, with its command and what is expected of it.

python -m tests.bad FOLDER [--slow]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.bad import KINDS
from tests.bad.case import Case


def write(root: Path, *, slow: bool = False) -> int:
    """Write every case below `root`, and `expected.json`; the slow ones, of many files, on request.

    Gives their number.
    """
    root.mkdir(parents=True)
    expected = [
        {"kind": kind, **_written(case, root / kind / case.name)}
        for kind, cases in KINDS.items()
        for case in cases
        if slow or not case.slow
    ]
    (root / "expected.json").write_text(json.dumps(expected, indent=2))
    return len(expected)


def _written(case: Case, folder: Path) -> dict[str, object]:
    folder.mkdir(parents=True)
    arguments = [argument.encode(errors="backslashreplace") for argument in case.make(folder)]
    return {
        "name": case.name,
        "arguments": [argument.decode() for argument in arguments],
        "environment": dict(case.environment),
        "outcome": case.outcome,
        "says": case.says,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--slow", action="store_true", help="those of very many files too")
    given = parser.parse_args()
    print(f"{write(given.folder, slow=given.slow)} cases in {given.folder}")
