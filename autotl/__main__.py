"""The command `autotl`, also `python -m autotl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits with the codes that the README lists."""
    from autotl.cli.program import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
