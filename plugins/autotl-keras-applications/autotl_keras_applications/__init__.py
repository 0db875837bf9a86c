"""The plugin: backbones of `keras.applications` for autotl. Importing it imports no keras."""

from __future__ import annotations

from autotl import hookimpl
from autotl.records import Backbone
from autotl_keras_applications.backbones import BACKBONES


@hookimpl
def autotl_backbones() -> list[Backbone]:
    """One for each row of `networks.NETWORKS`."""
    return list(BACKBONES)
