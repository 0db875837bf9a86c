"""Which loader reads the data: exactly one must match, or the user names one."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotl.errors import DataError, UsageError
from autotl.files import expanded, look
from autotl.loading.nearly import nearly
from autotl.records import COLUMNS, Loader

_LONG_HINT = 250
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The loader, why it was chosen, and remarks on loaders that failed to look at the data."""

    loader: Loader
    reason: str
    warnings: tuple[str, ...] = ()


def choose(data: Any, loaders: Sequence[Loader], options: Mapping[str, Any]) -> Chosen:
    """The one loader that matches, or the one that `options["loader"]` names.

    Raises `DataError` where none or several match, `UsageError` for an unknown name or an option
    that the loader does not heed.
    """
    chosen = _chosen(data, loaders, options)
    for option in COLUMNS:
        if option in options and option not in chosen.loader.options:
            raise _unheeded(option, chosen, loaders)
    return chosen


def _unheeded(option: str, chosen: Chosen, loaders: Sequence[Loader]) -> UsageError:
    heeding = [loader.name for loader in loaders if option in loader.options]
    which = f" ({', '.join(heeding)})" if heeding else ""
    return UsageError(
        f"--{option.replace('_', '-')} says nothing here: the data is read by "
        f"{chosen.loader.name} ({chosen.reason}), which knows no such column.",
        hint=f"Leave it out, or give a table{which}.",
    )


def _chosen(data: Any, loaders: Sequence[Loader], options: Mapping[str, Any]) -> Chosen:
    if name := options.get("loader"):
        return _named(data, str(name), loaders, options)
    reasons, warnings = _reasons(data, loaders, options)
    if len(reasons) == 1:
        ((loader, reason),) = reasons
        return Chosen(loader=loader, reason=reason, warnings=warnings)
    if reasons:
        raise DataError(
            f"{_shown(data)} can be read by {len(reasons)} loaders.",
            details=tuple(f"{loader.name}: {reason}" for loader, reason in reasons),
            hint=_either([loader for loader, _ in reasons]),
        )
    raise _none(data, loaders, warnings)


def _either(loaders: Sequence[Loader]) -> str:
    """A hint that names the loaders, with what each reads where that is short."""
    named = [f"--loader {loader.name}" for loader in loaders]
    told = [f"{name} ({one.description})" for name, one in zip(named, loaders, strict=True)]
    full = f"Name one: {' or '.join(told)}."
    return full if len(full) <= _LONG_HINT else f"Name one: {' or '.join(named)}."


def missing(data: Any, loaders: Sequence[Loader]) -> DataError | None:
    """The error for a path that does not exist; None where `data` exists or is no path."""
    if not isinstance(data, str | os.PathLike) or look(expanded(Path(data))):
        return None
    if _ADDRESS.match(str(data)):
        return DataError(
            f"'{data}' is an address, and only what lies on this machine is read.",
            hint="Download it, unpack it where it is an archive, and give the folder.",
        )
    near = _near(expanded(Path(data)), [loader.name for loader in loaders])
    guess = f" Did you mean {near}?" if near else ""
    return DataError(f"There is no file or folder '{data}'.{guess}", hint=_readable(loaders))


def _reasons(
    data: Any, loaders: Sequence[Loader], options: Mapping[str, Any]
) -> tuple[list[tuple[Loader, str]], tuple[str, ...]]:
    reasons, warnings = [], []
    for loader in loaders:
        try:
            reason = loader.matches(data, options)
        except DataError:
            raise
        except Exception as error:  # a plugin's fault hurts no other loader, and is told
            warnings.append(f"The loader {loader.name} could not look at the data: {error!r}.")
            continue
        if reason is not None:
            reasons.append((loader, reason))
    return reasons, tuple(warnings)


def _named(data: Any, name: str, loaders: Sequence[Loader], options: Mapping[str, Any]) -> Chosen:
    by_name = {loader.name.casefold(): loader for loader in loaders}
    loader = by_name.get(name.casefold())
    if loader is None:
        near = difflib.get_close_matches(name.casefold(), by_name, n=1)
        guess = f" Did you mean '{by_name[near[0]].name}'?" if near else ""
        raise UsageError(
            f"There is no loader '{name}'.{guess}",
            hint=f"Known: {', '.join(sorted(known.name for known in loaders))}.",
        )
    reasons, warnings = _reasons(data, [loader], options)
    if reasons:
        return Chosen(loader=loader, reason=reasons[0][1], warnings=warnings)
    if error := missing(data, loaders):
        raise error
    return Chosen(loader=loader, reason="it was named as the loader", warnings=warnings)


def _none(data: Any, loaders: Sequence[Loader], warnings: tuple[str, ...]) -> DataError:
    if error := missing(data, loaders):
        return error
    if not isinstance(data, str | os.PathLike):
        return DataError(
            f"No loader reads {_shown(data)}.", hint=_readable(loaders), details=warnings
        )
    path = expanded(Path(data))
    folders, endings = _contents(path) if look(path) == "folder" else ([], [])
    if error := nearly(path):
        return error
    if look(path) != "folder":
        return DataError(
            f"{path} is a file that no loader reads.", hint=_readable(loaders), details=warnings
        )
    if not folders and not endings:
        return DataError(f"The folder {path} is empty.", hint=_readable(loaders), details=warnings)
    return DataError(
        f"The folder {path} holds nothing that a loader reads.",
        details=(f"Found: {', '.join([*folders, *endings])}", *warnings),
        hint=_readable(loaders),
    )


def _contents(path: Path) -> tuple[list[str], list[str]]:
    """A few words on the folders and on the files, by ending, of a folder."""
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"The folder {path} cannot be listed: {error.strerror}.") from error
    folders = [entry.name for entry in entries if entry.is_dir()]
    endings = Counter(entry.suffix or entry.name for entry in entries if not entry.is_dir())
    more = [f"{len(folders) - 5} more folders"] if len(folders) > 5 else []
    return (
        [*(f"{name}/" for name in folders[:5]), *more],
        [f"{count} {ending} file{'s' * (count > 1)}" for ending, count in endings.most_common(5)],
    )


def _near(path: Path, names: Sequence[str]) -> str | None:
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):  # nothing to guess from
        beside = []
    near = difflib.get_close_matches(path.name, [*beside, *names], n=1)
    if not near:
        return None
    return str(path.with_name(near[0])) if near[0] in beside else near[0]


def _readable(loaders: Sequence[Loader]) -> str:
    known = (f"\n  {loader.name}: {loader.description}" for loader in loaders)
    return f"What can be read:{''.join(known)}" if loaders else "No loader is installed."


def _shown(data: Any) -> str:
    if isinstance(data, str | os.PathLike):
        return str(data)
    return f"an object of type {type(data).__name__}"
