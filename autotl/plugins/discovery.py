"""Finding plugins, each behind a guard of its own, and telling them what happened."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from typing import Any, Literal, TypeVar

import pluggy

from autotl import hookspecs
from autotl.errors import PluginError
from autotl.plugins import validation
from autotl.records import Backbone, Loader, Trial

PROJECT = "autotl"
GROUP = "autotl"
SWITCH = "AUTOTL_DISABLE_PLUGIN_AUTOLOAD"
BUILTINS = {
    "image-folders": "autotl.builtin.image_folders",
    "nested-folders": "autotl.builtin.nested_folders",
    "tables": "autotl.builtin.tables",
    "arrays": "autotl.builtin.arrays",
    "frames": "autotl.builtin.frames",
    "tf-data": "autotl.builtin.tf_datasets",
    "digits": "autotl.builtin.digits",
    "embedded": "autotl.builtin.embedded_backbone",
}
_HEAVY = ("keras", "tensorflow")
_log = logging.getLogger("autotl")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OfferedBackbone:
    """A backbone and the distribution that brings it."""

    backbone: Backbone
    distribution: str


@dataclass(frozen=True, kw_only=True)
class OfferedLoader:
    """A loader and the distribution that brings it."""

    loader: Loader
    distribution: str


@dataclass(frozen=True, kw_only=True)
class ListedPlugin:
    """A plugin that was found: what it brings, or the reason why it is not in use."""

    name: str
    distribution: str
    version: str
    status: Literal["loaded", "set aside", "disabled"]
    reason: str = ""
    backbones: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """Everything that discovery found. An observer of runs: see `autotl.run.Observer`."""

    backbones: tuple[OfferedBackbone, ...]
    offered_loaders: tuple[OfferedLoader, ...]
    listed: tuple[ListedPlugin, ...]
    managers: tuple[tuple[str, pluggy.PluginManager], ...] = field(default=(), repr=False)

    @property
    def loaders(self) -> tuple[Loader, ...]:
        """The loaders without their distributions."""
        return tuple(offered.loader for offered in self.offered_loaders)

    def resizing(self, policy: Literal["squash", "crop"]) -> Plugins:
        """The same plugins with every backbone's images resized by this policy."""
        return replace(
            self,
            backbones=tuple(
                replace(offered, backbone=_resizing(offered.backbone, policy))
                for offered in self.backbones
            ),
        )

    def versions(self) -> dict[str, str]:
        """Versions of the distributions in use, by name, the built-in one aside."""
        used = (plugin for plugin in self.listed if plugin.status == "loaded")
        return {each.distribution: each.version for each in used if each.distribution != PROJECT}

    def step_finished(self, step: str, record: Any) -> None:
        """Tell every plugin; one that raises is named in a warning and changes nothing."""
        self._tell("autotl_step_finished", step=step, record=record)

    def trial_finished(self, trial: Trial) -> None:
        """Tell every plugin; one that raises is named in a warning and changes nothing."""
        self._tell("autotl_trial_finished", trial=trial)

    def _tell(self, hook: str, **facts: Any) -> None:
        for name, manager in self.managers:
            try:
                getattr(manager.hook, hook)(**facts)
            except Exception as error:
                _log.warning(
                    "plugin %s raised %s in %s: %s", name, type(error).__name__, hook, error
                )
                _log.debug("its traceback", exc_info=True)


def _resizing(backbone: Backbone, policy: Literal["squash", "crop"]) -> Backbone:
    return replace(backbone, preprocessing=replace(backbone.preprocessing, resize=policy))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An entry of a distribution that may turn out to be a plugin."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    def listed(self, status: Literal["set aside", "disabled"], reason: str) -> ListedPlugin:
        return ListedPlugin(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            status=status,
            reason=reason,
        )

    def disabled_by(self, names: set[str]) -> bool:
        return bool({self.name.lower(), self.distribution.lower()} & names)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A plugin that passed every check."""

    manager: pluggy.PluginManager
    backbones: tuple[Backbone, ...]
    loaders: tuple[Loader, ...]


def discover(*, disabled: Sequence[str] = ()) -> Plugins:
    """Import and ask every installed plugin, the built-in ones first.

    `disabled` names plugins or distributions that are left out, without regard to case. With
    `AUTOTL_DISABLE_PLUGIN_AUTOLOAD` set (and not 0) only the built-in ones are asked. Raises
    `PluginError` where two distributions bring the same name.
    """
    names = {name.lower() for name in disabled}
    found = [*_builtins(), *_installed()]
    for name in sorted(names):
        if not any(each.disabled_by({name}) for each in found):
            _log.warning("there is no plugin %s to leave out", name)
    listed: list[ListedPlugin] = []
    used: list[tuple[_Found, Asked]] = []
    for each in found:
        if each.disabled_by(names):
            listed.append(each.listed("disabled", "left out by --no-plugin"))
            continue
        try:
            loaded = _guarded(each, [plugin for _, plugin in used])
        except PluginError as error:
            _log.warning("plugin %s is set aside: %s", each.name, error.message)
            listed.append(each.listed("set aside", error.message))
            continue
        used.append((each, loaded))
        listed.append(_as_listed(each, loaded))
    return _plugins(used, tuple(listed))


def _plugins(used: list[tuple[_Found, Asked]], listed: tuple[ListedPlugin, ...]) -> Plugins:
    backbones = [
        OfferedBackbone(backbone=one, distribution=each.distribution)
        for each, loaded in used
        for one in loaded.backbones
    ]
    loaders = [
        OfferedLoader(loader=one, distribution=each.distribution)
        for each, loaded in used
        for one in loaded.loaders
    ]
    _refuse_duplicates("backbone", [(o.backbone.name, o.distribution) for o in backbones])
    _refuse_duplicates("loader", [(o.loader.name, o.distribution) for o in loaders])
    return Plugins(
        backbones=tuple(backbones),
        offered_loaders=tuple(loaders),
        listed=listed,
        managers=tuple((each.name, loaded.manager) for each, loaded in used),
    )


def _refuse_duplicates(what: str, offers: list[tuple[str, str]]) -> None:
    first: dict[str, tuple[str, str]] = {}
    for offer in offers:
        name, distribution = offer
        earlier = first.setdefault(name.lower(), offer)
        if earlier is not offer:
            raise PluginError(
                f"Two distributions bring a {what} of the same name: "
                f"'{earlier[0]}' of {earlier[1]} and '{name}' of {distribution}.",
                hint=f"Leave one out, e.g. --no-plugin {distribution}, or uninstall it.",
            )


def _as_listed(found: _Found, loaded: Asked) -> ListedPlugin:
    return ListedPlugin(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        status="loaded",
        backbones=tuple(one.name for one in loaded.backbones),
        loaders=tuple(one.name for one in loaded.loaders),
    )


def _builtins() -> Iterator[_Found]:
    version = _version(PROJECT)
    for name, module in BUILTINS.items():
        yield _Found(
            name=name,
            distribution=PROJECT,
            version=version,
            load=partial(importlib.import_module, module),
        )


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _installed() -> list[_Found]:
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return []
    found = [
        _Found(
            name=point.name,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "",
            load=point.load,
        )
        for point in metadata.entry_points(group=GROUP)
    ]
    return sorted(found, key=lambda each: (each.distribution.lower(), each.name))


def _guarded(found: _Found, used: Sequence[Asked]) -> Asked:
    """Import and ask one plugin; whatever goes wrong becomes a `PluginError` with the reason."""
    heavy = [name for name in _HEAVY if name not in sys.modules]
    try:
        plugin = found.load()
        if any(other.manager.is_registered(plugin) for other in used):
            raise PluginError("the same module is already in use under another entry point")
        loaded = ask(plugin)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{type(error).__name__}: {error}") from error
    imported = [name for name in heavy if name in sys.modules]
    if imported:
        _log.warning(
            "importing plugin %s imported %s, which slows every start",
            found.name,
            " and ".join(imported),
        )
    return loaded


def ask(plugin: Any) -> Asked:
    """Register one plugin with a manager of its own, and validate what its hooks return.

    Raises `PluginError`, or whatever the plugin raises.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        _check_hooks(manager, plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error
    return Asked(
        manager=manager,
        backbones=_collected(manager.hook.autotl_backbones(), "backbone", validation.backbone),
        loaders=_collected(manager.hook.autotl_loaders(), "loader", validation.loader),
    )


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    callers = manager.get_hookcallers(plugin) or []
    known = [name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_")]
    for caller in callers:
        if not caller.has_spec():
            near = difflib.get_close_matches(caller.name, known, n=1)
            guess = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(known)}."
            raise PluginError(f"there is no hook {caller.name}.{guess}")
    if not callers:
        raise PluginError("it implements no hook: is a function marked with autotl.hookimpl?")


def _collected(returns: list[Any], what: str, check: Callable[[Any], T]) -> tuple[T, ...]:
    """The validated records of the one implementation (at most) of a hook."""
    records: list[T] = []
    for returned in returns:
        if not isinstance(returned, list | tuple):
            raise PluginError(f"autotl_{what}s returned a {type(returned).__name__}, not a list")
        records += [check(one) for one in returned]
    names = [str(getattr(one, "name", "")).lower() for one in records]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"it brings two {what}s named '{name}'")
    return tuple(records)
