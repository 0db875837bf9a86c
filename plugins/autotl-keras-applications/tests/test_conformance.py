"""The plugin as autotl finds it, put through the checks that it ships for plugin authors."""

from __future__ import annotations

from autotl_keras_applications import autotl_backbones

from autotl.plugins import discover
from autotl.testing import check_plugin

NAME = "autotl-keras-applications"
BACKBONES = {backbone.name: backbone for backbone in autotl_backbones()}


def test_the_distribution_conforms() -> None:
    assert {backbone.name for backbone in check_plugin(NAME).backbones} == set(BACKBONES)


def test_autotl_finds_it_by_its_entry_point() -> None:
    found = {each.backbone.name: each.distribution for each in discover().backbones}
    assert {name: found[name] for name in BACKBONES} == dict.fromkeys(BACKBONES, NAME)
