"""What surrounds a command: the cache, the folder for temporary files, where it was started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bad.case import LOADS, Case, Outcome, on_data, pets

CLOSED = "/proc/nowhere"
"""A folder that nobody can make."""


def _case(
    name: str,
    environment: Mapping[str, str],
    outcome: Outcome,
    *says: str,
    make: Callable[[Path], list[str]] | None = None,
    **more: object,
) -> Case:
    made = make or on_data(pets, "--verbose")
    about = {"environment": environment, "outcome": outcome, "says": says}
    return Case(name=name, make=made, **about, **more)  # type: ignore[arg-type]


def _cache(folder: Path) -> list[str]:
    return ["cache"]


def _clear(folder: Path) -> list[str]:
    return ["cache", "--clear"]


NO_NUMBER = ("AUTOTL_CACHE_GB", "no number of gigabytes")

CASES: tuple[Case, ...] = (
    _case("cap-is-no-number", {"AUTOTL_CACHE_GB": "abc"}, 2, *NO_NUMBER, make=_cache),
    _case("cap-is-not-a-number", {"AUTOTL_CACHE_GB": "nan"}, 2, *NO_NUMBER, make=_cache),
    _case("cap-is-negative", {"AUTOTL_CACHE_GB": "-1"}, 2, "AUTOTL_CACHE_GB", make=_cache),
    _case("cap-is-endless", {"AUTOTL_CACHE_GB": "1e9999"}, 2, "AUTOTL_CACHE_GB", make=_cache),
    _case("cap-is-no-number-for-inspect", {"AUTOTL_CACHE_GB": "abc"}, 2, *NO_NUMBER),
    _case("cache-of-no-user", {"AUTOTL_CACHE": "~nobody-there/x"}, 2, "AUTOTL_CACHE", make=_clear),
    _case("cache-cannot-be-made", {"AUTOTL_CACHE": CLOSED}, LOADS, "8 examples"),
    _case("cache-is-a-file", {"AUTOTL_CACHE": "/dev/null"}, LOADS, "8 examples"),
    _case("cache-is-shown-where-there-is-none", {"AUTOTL_CACHE": CLOSED}, 0, make=_cache),
    _case(
        "temporary-files-have-no-folder",
        {"TMPDIR": CLOSED, "TMP": CLOSED, "TEMP": CLOSED},
        LOADS,
        "8 examples",
        alone=True,
    ),
    _case(
        "no-colour-and-a-dumb-terminal",
        {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "1", "LC_ALL": "C"},
        3,
        "no file or folder",
        make=lambda folder: ["fit", str(folder / "bücher")],
        alone=True,
    ),
)
