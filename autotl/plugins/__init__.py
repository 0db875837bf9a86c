"""Plugins: found one by one, validated, listed; and the weights of the backbones they bring.

A plugin that cannot be imported, that raises, or whose records are not valid is set aside with
its reason and hurts nobody; a name taken twice is an error that names both distributions.
"""

from autotl.plugins.discovery import (
    ListedPlugin,
    OfferedBackbone,
    OfferedLoader,
    Plugins,
    discover,
)
from autotl.plugins.names import find
from autotl.plugins.sizes import choose_input_size, resized, smaller, takes
from autotl.plugins.weights import (
    AUTO,
    Candidate,
    auto,
    choose_backbone,
    here,
    locate,
    locate_backbone,
    located,
    present,
    usable,
)

__all__ = [
    "AUTO",
    "Candidate",
    "ListedPlugin",
    "OfferedBackbone",
    "OfferedLoader",
    "Plugins",
    "auto",
    "choose_backbone",
    "choose_input_size",
    "discover",
    "find",
    "here",
    "locate",
    "locate_backbone",
    "located",
    "present",
    "resized",
    "smaller",
    "takes",
    "usable",
]
