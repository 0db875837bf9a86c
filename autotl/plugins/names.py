"""Which backbone a name means."""

from __future__ import annotations

import difflib
import re

from autotl.errors import PluginError
from autotl.plugins.discovery import OfferedBackbone, Plugins

_FEW = 12
"""As many backbones are named in a message."""

KERAS = "keras-applications"
MORE = (
    " Those of keras.applications come with a plugin: "
    "pip install ./plugins/autotl-keras-applications (in a checkout)."
)


def find(plugins: Plugins, name: str) -> OfferedBackbone:
    """The backbone of that name, without regard to case; `PluginError` with the nearest else."""
    by_name = {offered.backbone.name.lower(): offered for offered in plugins.backbones}
    if name.lower() in by_name:
        return by_name[name.lower()]
    squeezed = {_squeezed(known): known for known in by_name}
    near = difflib.get_close_matches(_squeezed(name), squeezed, n=1)
    guess = f" Did you mean '{by_name[squeezed[near[0]]].backbone.name}'?" if near else ""
    aside = [plugin for plugin in plugins.listed if plugin.status != "loaded"]
    raise PluginError(
        f"There is no backbone '{name}'.{guess}",
        hint=_known(plugins) + ("" if KERAS in {each.name for each in plugins.listed} else MORE),
        details=tuple(f"plugin {each.name} is {each.status}: {each.reason}" for each in aside),
    )


def _squeezed(name: str) -> str:
    """The name as it is told from others in a guess: `ResNet-50`, `res net_50` and `resnet50` are
    one.
    """
    return re.sub(r"[-_\s]", "", name.lower())


def _known(plugins: Plugins) -> str:
    names = [offered.backbone.name for offered in plugins.backbones]
    if len(names) > _FEW:
        return f"`autotl backbones` lists the {len(names)} that are known."
    return f"Known: {', '.join(names) or 'none'}."
