from __future__ import annotations

import http.server
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotl import plugins as room
from autotl.errors import PluginError, UsageError
from autotl.plugins import OfferedBackbone, Plugins, discover, validation
from autotl.records import (
    Backbone,
    InputSizes,
    Loader,
    Preprocessing,
    ReferenceStatistics,
    Weights,
)

ROOT = Path(__file__).parent.parent
SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
FOLDERS = {"image-folders", "nested-folders", "top-folders", "grouped-folders"}
LOADERS = FOLDERS | {"tables", "arrays", "frames", "tf-data", "digits"}
BUILTIN = {
    *("image-folders", "nested-folders", "tables", "arrays", "frames", "tf-data", "digits"),
    "embedded",
}

GOOD = """
from autotl import hookimpl
from autotl.records import Backbone, InputSizes, Loader, Preprocessing

def backbone(name="Tiny", **changes):
    return Backbone(**{
        "name": name, "build": "tiny.net:build", "stages": ("a", "b"), "parameters": 10,
        "input_sizes": InputSizes(least=32, most=64, default=32), "license": "MIT",
        "preprocessing": Preprocessing(size=32), "source_domain": "noise", **changes})

def loader(name="sheets", **changes):
    return Loader(**{
        "name": name, "description": "sheets", "matches": lambda data, options: None,
        "load": lambda data, options: None, **changes})
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution that `importlib.metadata` finds, with one plugin module."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("AUTOTL_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    made = []

    def make(distribution, body, *, version="1.2", points=None):
        module = f"{distribution.replace('-', '_')}_module"
        (tmp_path / f"{module}.py").write_text(GOOD + textwrap.dedent(body))
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        listed = points or {distribution: module}
        lines = "".join(f"{name} = {target}\n" for name, target in listed.items())
        (info / "entry_points.txt").write_text(f"[autotl]\n{lines}")
        made.append(module)
        return module

    yield make
    for module in made:
        sys.modules.pop(module, None)


BRINGS = """
@hookimpl
def autotl_backbones():
    return [backbone()]
"""


OURS = {"autotl", *(point.dist.name for point in metadata.entry_points(group="autotl"))}
"""Distributions that are really installed here, such as our own plugin."""


def third(found: Plugins) -> list:
    return [plugin for plugin in found.listed if plugin.distribution not in OURS]


def only(found: Plugins):
    (plugin,) = third(found)
    return plugin


# ---- discovery ----


def test_the_built_in_ones_are_there(monkeypatch):
    monkeypatch.setenv("AUTOTL_DISABLE_PLUGIN_AUTOLOAD", "1")
    found = discover()
    assert {plugin.name for plugin in found.listed} == BUILTIN
    assert {plugin.status for plugin in found.listed} == {"loaded"}
    assert [offered.backbone.name for offered in found.backbones] == ["embedded"]
    assert {loader.name for loader in found.loaders} == LOADERS
    assert found.versions() == {}


def test_discovery_imports_no_keras():
    code = (
        "import sys, autotl.plugins as p; p.discover(); "
        "print([m for m in ('keras', 'tensorflow', 'sklearn', 'pooch') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert told.stdout.strip() == "[]"


def test_an_installed_plugin_brings_its_records(install):
    install("tiny-dist", BRINGS + "\n@hookimpl\ndef autotl_loaders():\n    return (loader(),)\n")
    found = discover()
    plugin = only(found)
    assert (plugin.name, plugin.distribution, plugin.version) == ("tiny-dist", "tiny-dist", "1.2")
    assert (plugin.status, plugin.backbones, plugin.loaders) == ("loaded", ("Tiny",), ("sheets",))
    assert "tiny-dist" in {offered.distribution for offered in found.backbones}
    assert "sheets" in {loader.name for loader in found.loaders}
    assert found.versions()["tiny-dist"] == "1.2"


@pytest.mark.parametrize("name", ["tiny-dist", "TINY-dist", "the-point"])
def test_a_plugin_can_be_left_out_by_either_name(install, name):
    install("tiny-dist", "raise AssertionError", points={"the-point": "tiny_dist_module"})
    plugin = only(discover(disabled=[name]))
    assert (plugin.status, plugin.backbones) == ("disabled", ())


def test_a_built_in_plugin_can_be_left_out():
    found = discover(disabled=["embedded"])
    assert "embedded" not in {offered.backbone.name for offered in found.backbones}


def test_leaving_out_what_is_not_there_is_said(caplog):
    with caplog.at_level(logging.WARNING, "autotl"):
        discover(disabled=["no-such"])
    assert "no plugin no-such" in caplog.text


@pytest.mark.parametrize(("value", "there"), [("1", False), ("0", True), ("", True)])
def test_the_switch_leaves_out_all_installed_ones(install, monkeypatch, value, there):
    install("tiny-dist", BRINGS)
    monkeypatch.setenv("AUTOTL_DISABLE_PLUGIN_AUTOLOAD", value)
    assert bool(third(discover())) is there


BAD = {
    "import": ("import no_such_module_of_mine", "ModuleNotFoundError: .*no_such_module_of_mine"),
    "syntax": ("def broken(:", "SyntaxError"),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "nothing": ("x = 1", "implements no hook"),
    "unmarked": ("def autotl_backbones():\n    return []", "hookimpl"),
    "misspelt": (
        "@hookimpl\ndef autotl_bakbones():\n    return []",
        "no hook autotl_bakbones. Did you mean autotl_backbones",
    ),
    "unknown": ("@hookimpl\ndef quite_another():\n    pass", "Known: autotl_backbones, "),
    "argument": ("@hookimpl\ndef autotl_backbones(wish):\n    return []", "wish"),
    "raises": ("@hookimpl\ndef autotl_backbones():\n    return 1 / 0", "ZeroDivisionError"),
    "no list": ("@hookimpl\ndef autotl_backbones():\n    return backbone()", "not a list"),
    "generator": ("@hookimpl\ndef autotl_loaders():\n    yield loader()", "generator"),
    "no record": ("@hookimpl\ndef autotl_loaders():\n    return [backbone()]", "not a Loader"),
    "contract": (
        "@hookimpl\ndef autotl_backbones():\n    return [backbone(contract=2)]",
        r"contract 2, and this autotl knows contract 1",
    ),
    "loader contract": (
        "@hookimpl\ndef autotl_loaders():\n    return [loader(contract=0)]",
        r"contract 0, and this autotl knows contract 1",
    ),
    "field": (
        "@hookimpl\ndef autotl_backbones():\n    return [backbone(future_field=1)]",
        "TypeError: .*future_field",
    ),
    "invalid": (
        "@hookimpl\ndef autotl_backbones():\n    return [backbone(parameters=0)]",
        "Backbone 'Tiny': parameters",
    ),
    "twice": (
        "@hookimpl\ndef autotl_backbones():\n    return [backbone(), backbone('TINY')]",
        "two backbones named 'tiny'",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_plugin_is_set_aside_with_its_reason_and_hurts_nobody(install, fault, caplog):
    body, reason = BAD[fault]
    install("bad-dist", body)
    install("good-dist", BRINGS.replace("backbone()", "backbone('Good')"))
    with caplog.at_level(logging.WARNING, "autotl"):
        found = discover()
    bad, good = third(found)
    assert (bad.distribution, bad.status) == ("bad-dist", "set aside")
    assert re.search(reason, bad.reason, re.DOTALL)
    assert "\n" not in bad.reason or fault == "syntax"
    assert (good.status, good.backbones) == ("loaded", ("Good",))
    assert "bad-dist" in caplog.text
    assert {plugin.name for plugin in found.listed if plugin.status == "loaded"} >= BUILTIN


def test_an_entry_point_to_nowhere_is_set_aside(install):
    install("bad-dist", BRINGS, points={"one": "bad_dist_module:nothing", "two": "no.where"})
    one, two = third(discover())
    assert (one.status, two.status) == ("set aside", "set aside")
    assert "AttributeError" in one.reason
    assert "ModuleNotFoundError" in two.reason


def test_one_module_under_two_names_counts_once(install):
    install("tiny-dist", BRINGS, points={"one": "tiny_dist_module", "two": "tiny_dist_module"})
    one, two = third(discover())
    assert (one.status, two.status) == ("loaded", "set aside")
    assert "already in use" in two.reason


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (BRINGS.replace("backbone()", "backbone('EMBEDDED')"), "'embedded' of autotl and 'EMBED"),
        (
            "@hookimpl\ndef autotl_loaders():\n    return [loader('digits')]",
            "a loader .* 'digits' of autotl and 'digits' of tiny-dist",
        ),
    ],
)
def test_a_name_taken_twice_names_both_and_the_way_out(install, body, text):
    install("tiny-dist", body)
    with pytest.raises(PluginError, match=text) as caught:
        discover()
    assert "--no-plugin tiny-dist" in caught.value.hint
    assert discover(disabled=["tiny-dist"]).backbones


def test_importing_keras_in_a_plugin_is_said(install, caplog, monkeypatch):
    install("heavy-dist", "import sys\nsys.modules['keras'] = sys\n" + BRINGS)
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "keras")
    with caplog.at_level(logging.WARNING, "autotl"):
        assert only(discover()).status == "loaded"
    assert "heavy-dist imported keras" in caplog.text


# ---- observers ----


def test_observers_are_told_and_one_that_raises_is_only_named(install, caplog):
    install(
        "angry-dist",
        """
        @hookimpl
        def autotl_step_finished(step, record):
            raise ValueError(f"no {step}")

        @hookimpl
        def autotl_trial_finished(trial):
            raise ValueError("no trial")
        """,
    )
    module = install(
        "calm-dist",
        """
        heard = []

        @hookimpl
        def autotl_step_finished(step):
            heard.append(step)

        @hookimpl
        def autotl_trial_finished(trial):
            heard.append(trial)
        """,
    )
    found = discover()
    with caplog.at_level(logging.WARNING, "autotl"):
        found.step_finished("load", object())
        found.trial_finished(3)
    assert sys.modules[module].heard == ["load", 3]
    assert "plugin angry-dist raised ValueError in autotl_step_finished: no load" in caplog.text
    assert "autotl_trial_finished: no trial" in caplog.text


# ---- validation ----


def tiny(**changes) -> Backbone:
    fields = {
        "name": "Tiny",
        "build": "tiny.net:build",
        "stages": ("a", "b"),
        "input_sizes": InputSizes(least=32, most=128, default=64, multiple_of=16),
        "preprocessing": Preprocessing(size=64),
        "parameters": 10,
        "license": "MIT",
        "source_domain": "noise",
        **changes,
    }
    return Backbone(**fields)


def statistics(**changes):
    fields = {"file": "r.npz", "package": "p", "sha256": SHA_OF_ABC, "size": 64, "images": 9}
    return ReferenceStatistics(**fields | changes)


def test_a_valid_backbone_passes_and_lists_become_tuples():
    assert validation.backbone(tiny(stages=["a", "b"])) == tiny()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "Auto"}, "reserved"),
        ({"name": 3}, "str"),
        ({"build": "tiny.net.build"}, "package.module:function"),
        ({"build": "tiny net:build"}, "package.module:function"),
        ({"build": lambda size: None}, "build|function|type"),
        ({"stages": ()}, "stages"),
        ({"stages": ("a", "")}, "stages"),
        ({"stages": ("a", "b", "a")}, "twice"),
        ({"stages": "ab"}, "array"),
        ({"parameters": 0}, "parameters"),
        ({"parameters": 1.5}, "int"),
        ({"license": ""}, "license is empty"),
        ({"no_export": " "}, "no_export must say why, or be empty"),
        ({"no_export": True}, "str"),
        ({"no_partial_freeze": "\t"}, "no_partial_freeze must say why, or be empty"),
        ({"source_domain": ""}, "source_domain is empty"),
        ({"kind": "smell"}, "kind 'smell' is not known"),
        ({"input_sizes": InputSizes(least=64, most=32, default=64)}, "input_sizes"),
        ({"input_sizes": InputSizes(least=0, most=32, default=16)}, "input_sizes"),
        ({"input_sizes": InputSizes(least=1, most=64, default=64, multiple_of=0)}, "input_sizes"),
        ({"input_sizes": InputSizes(least=1, most=64, default=33, multiple_of=2)}, "no multiple"),
        ({"preprocessing": Preprocessing(size=16)}, "preprocessing.size 16 is outside"),
        ({"preprocessing": Preprocessing(size=64, scale=0)}, "scale"),
        ({"preprocessing": Preprocessing(size=64, deviation=(1, 0, 1))}, "deviations"),
        ({"preprocessing": Preprocessing(size=64, mean=(0, float("nan"), 0))}, "finite"),
        ({"preprocessing": Preprocessing(size=64, mean=(0, 0))}, "length 3"),
        ({"preprocessing": Preprocessing(size=64, resize="pad")}, "pad"),
        ({"preprocessing": Preprocessing(size=64, channels="GRB")}, "GRB"),
        ({"weights": (Weights(file=""),)}, "relative path"),
        ({"reference_statistics": statistics(file="../r.npz")}, "relative path"),
        ({"reference_statistics": statistics(sha256="abc")}, "64 lower-case"),
        ({"reference_statistics": statistics(size=0)}, "more than 0"),
        ({"reference_statistics": statistics(images=1)}, "images more than 1"),
        ({"weights": (Weights(file="../x.h5"),)}, "relative path"),
        ({"weights": (Weights(file="/x.h5"),)}, "relative path"),
        ({"weights": (Weights(file="x.h5", sha256="ABC"),)}, "sha256"),
        ({"weights": (Weights(file="x.h5", trained_at=0),)}, "trained_at"),
        ({"contract": 2}, "contract 2, and this autotl knows contract 1"),
        ({"contract": None}, "contract None"),
    ],
)
def test_each_field_of_a_backbone_is_checked(changes, text):
    with pytest.raises(PluginError, match=text):
        validation.backbone(tiny(**changes))


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(PluginError) as caught:
        validation.backbone(tiny(license="", stages=(), parameters=-1))
    assert all(word in caught.value.message for word in ("Tiny", "license", "stages", "parameters"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": None}, "must be text"),
        ({"description": ""}, "description"),
        ({"kind": "smell"}, "kind"),
        ({"matches": "no"}, "matches is not a function"),
        ({"load": None}, "load is not a function"),
        ({"options": ("colour",)}, "the option 'colour' is not known"),
    ],
)
def test_each_field_of_a_loader_is_checked(changes, text):
    fields = {"name": "x", "description": "x", "matches": len, "load": len, **changes}
    with pytest.raises(PluginError, match=text):
        validation.loader(Loader(**fields))


# ---- weights ----


def offer(*backbones: Backbone) -> Plugins:
    offered = tuple(OfferedBackbone(backbone=one, distribution="dist") for one in backbones)
    return Plugins(backbones=offered, offered_loaders=(), listed=())


def test_the_resize_policy_is_changed_for_all_backbones_at_once():
    found = offer(tiny(), tiny(name="Other"))
    changed = found.resizing("crop")
    assert {each.backbone.preprocessing.resize for each in changed.backbones} == {"crop"}
    assert {each.backbone.preprocessing.resize for each in found.backbones} == {"squash"}
    assert changed.resizing("squash") == found


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "keras-home" / "models"
    folder.mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(folder.parent))
    return folder


def weighted(name="Tiny", files=("tiny.h5",), *, sha256=None, url=None, **changes) -> Backbone:
    weights = tuple(Weights(file=file, sha256=sha256, url=url) for file in files)
    return tiny(name=name, weights=weights, **changes)


def test_the_keras_cache_is_looked_into(models):
    (models / "tiny.h5").write_bytes(b"abc")
    chosen = room.choose_backbone(offer(weighted()), "tiny")
    assert (chosen.weights, chosen.sha256) == (models / "tiny.h5", SHA_OF_ABC)


def test_without_keras_home_the_cache_is_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    models = tmp_path / ".keras" / "models"
    models.mkdir(parents=True)
    (models / "tiny.h5").write_bytes(b"abc")
    assert room.here(offer(weighted()).backbones[0]) == models / "tiny.h5"


def test_the_first_file_that_is_here_is_taken(models):
    for name in ("b.h5", "c.h5"):
        (models / name).write_bytes(b"abc")
    path, _ = room.locate(offer(weighted(files=("a.h5", "b.h5", "c.h5"))).backbones[0])
    assert path == models / "b.h5"


def test_what_cannot_be_exported_is_refused_by_name_and_never_chosen(models):
    (models / "tiny.h5").write_bytes(b"abc")
    (models / "great.h5").write_bytes(b"abc")
    great = weighted("Great", ("great.h5",), parameters=10**9, no_export="It sings.")
    both = offer(great, weighted())
    with pytest.raises(
        PluginError, match=r"^Great cannot be exported to ONNX: It sings\."
    ) as caught:
        room.choose_backbone(both, "great", need_weights=False)
    assert caught.value.hint == "Usable now: Tiny."
    assert room.choose_backbone(both, "auto").offered.backbone.name == "Tiny"
    assert room.choose_backbone(both, "auto", need_weights=False).offered.backbone.name == "Tiny"
    assert [one.offered.backbone.name for one in room.usable(both)] == ["Tiny"]
    assert room.present(both) == ["Tiny"]
    with pytest.raises(PluginError, match="No installed backbone"):
        room.choose_backbone(offer(great), "auto")


def test_a_file_with_another_checksum_is_refused(models):
    (models / "tiny.h5").write_bytes(b"abd")
    with pytest.raises(PluginError, match="damaged or another") as caught:
        room.choose_backbone(offer(weighted(sha256=SHA_OF_ABC)), "Tiny")
    assert any(SHA_OF_ABC in line for line in caught.value.details)


def test_weights_of_a_package_lie_beside_it(tmp_path, monkeypatch):
    package = tmp_path / "weights_package_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "w.npz").write_bytes(b"abc")
    monkeypatch.syspath_prepend(tmp_path)
    one = tiny(weights=(Weights(file="w.npz", package=package.name, sha256=SHA_OF_ABC),))
    assert room.locate(offer(one).backbones[0])[0] == package / "w.npz"
    lost = tiny(weights=(Weights(file="w.npz", package="no_such_package.at_all"),))
    with pytest.raises(PluginError, match=r"no_such_package\.at_all"):
        room.locate(offer(lost).backbones[0])


def test_a_package_without_its_weights_or_with_damaged_ones_is_to_be_installed_again(
    tmp_path, monkeypatch
):
    package = tmp_path / "weights_package_of_yours"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    given_ = (Weights(file="w.npz", package=package.name, sha256=SHA_OF_ABC),)
    there = offer(tiny(weights=given_))
    with pytest.raises(PluginError, match="are not on this machine") as missing:
        room.choose_backbone(there, "Tiny")
    (package / "w.npz").write_bytes(b"abd")
    with pytest.raises(PluginError, match="damaged") as damaged:
        room.choose_backbone(there, "Tiny")
    for caught in (missing, damaged):
        assert "install that again" in caught.value.hint
        assert "KERAS_HOME" not in caught.value.hint
    assert str(package / "w.npz") in str(missing.value)
    (package / "w.npz").write_bytes(b"abc")
    assert room.choose_backbone(there, "Tiny").sha256 == SHA_OF_ABC


def test_a_file_that_was_given_goes_first(models, tmp_path):
    (models / "tiny.h5").write_bytes(b"other")
    given_ = tmp_path / "mine.h5"
    given_.write_bytes(b"abc")
    chosen = room.choose_backbone(offer(weighted()), "Tiny", weights_file=given_)
    assert (chosen.weights, chosen.sha256) == (given_, SHA_OF_ABC)
    with pytest.raises(PluginError, match="no weights file"):
        room.choose_backbone(offer(weighted()), "Tiny", weights_file=tmp_path / "no.h5")
    with pytest.raises(UsageError, match="backbone"):
        room.choose_backbone(offer(weighted()), "auto", weights_file=given_)


def test_missing_weights_say_where_they_belong_and_what_can_be_used(models):
    (models / "other.h5").write_bytes(b"abc")
    both = offer(weighted(), weighted("Other", ("other.h5",)))
    with pytest.raises(PluginError, match="not on this machine") as caught:
        room.choose_backbone(both, "Tiny", download=False)
    said = str(caught.value)
    for part in (str(models / "tiny.h5"), "Usable now: Other.", "KERAS_HOME", "--weights"):
        assert part in said


def test_scratch_needs_no_weights(models):
    chosen = room.choose_backbone(offer(weighted(url="http://x/")), "Tiny", need_weights=False)
    assert chosen.weights is None
    chosen = room.choose_backbone(
        offer(tiny(name="Big", parameters=20), tiny()), "auto", need_weights=False
    )
    assert chosen.offered.backbone.name == "Tiny"


def test_a_backbone_that_has_no_weights_can_only_be_scratch():
    with pytest.raises(PluginError, match="only be trained from scratch"):
        room.choose_backbone(offer(tiny()), "Tiny")


def test_a_failed_download_is_said(models, monkeypatch):
    import pooch

    asked = []

    def fail(url, **facts):
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", fail)
    there = offer(weighted(url="https://example.invalid/tiny.h5"))
    with pytest.raises(PluginError, match="could not be downloaded") as caught:
        room.choose_backbone(there, "tiny")
    assert asked == ["https://example.invalid/tiny.h5"]
    assert "no network" in str(caught.value)
    with pytest.raises(PluginError, match="No installed backbone"):
        room.choose_backbone(there, "auto")
    assert len(asked) == 1


def test_a_failed_download_offers_what_can_be_used(models, monkeypatch):
    import pooch

    def fail(url, **facts):
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", fail)
    (models / "other.h5").write_bytes(b"abc")
    lost = tiny(name="Lost", weights=(Weights(file="w.npz", package="no_such_package"),))
    there = offer(weighted(url="https://example.invalid/x"), weighted("Other", ("other.h5",)), lost)
    with pytest.raises(PluginError, match="could not be downloaded") as caught:
        room.choose_backbone(there, "tiny")
    assert "KERAS_HOME" in caught.value.hint
    assert caught.value.hint.endswith("Usable now: Other.")


def test_a_damaged_file_is_not_offered_in_its_own_place(models):
    (models / "tiny.h5").write_bytes(b"abd")
    with pytest.raises(PluginError, match="damaged") as caught:
        room.choose_backbone(offer(weighted(sha256=SHA_OF_ABC)), "Tiny")
    assert caught.value.hint.endswith("Usable now: none.")


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.at_all", "json.decoder"])
def test_an_absent_weights_package_is_said_and_hurts_nobody(models, caplog, package):
    lost = tiny(name="Lost", parameters=99, weights=(Weights(file="w.npz", package=package),))
    (models / "tiny.h5").write_bytes(b"abc")
    there = offer(lost, weighted())
    with caplog.at_level(logging.WARNING, "autotl"):
        assert [room.here(one) is not None for one in there.backbones] == [False, True]
    assert "Lost has no weights here" in caplog.text
    assert package in caplog.text
    assert room.auto(there).offered.backbone.name == "Tiny"
    with pytest.raises(PluginError, match="No installed backbone"):
        room.auto(offer(lost))
    assert room.choose_backbone(there, "Lost", need_weights=False).weights is None
    with pytest.raises(PluginError, match=package) as caught:
        room.choose_backbone(there, "Lost")
    assert caught.value.hint == "Usable now: Tiny."


def test_weights_in_a_home_folder_that_is_not_there_are_not_here(tmp_path, monkeypatch, caplog):
    package = tmp_path / "weights_package_of_ours"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "w.npz").write_bytes(b"abc")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KERAS_HOME", "~nobody-of-this-name/keras")
    own = tiny(name="Own", weights=(Weights(file="w.npz", package=package.name),))
    there = offer(weighted(parameters=99, url="https://example.invalid/x"), own)
    with caplog.at_level(logging.WARNING, "autotl"):
        assert [room.here(one) is not None for one in there.backbones] == [False, True]
        assert room.auto(there).offered.backbone.name == "Own"
    assert "~nobody-of-this-name" in caplog.text
    assert room.choose_backbone(there, "Tiny", need_weights=False).weights is None
    with pytest.raises(PluginError, match="no home folder") as caught:
        room.choose_backbone(there, "Tiny")
    assert "KERAS_HOME" in caught.value.hint
    assert caught.value.hint.endswith("Usable now: Own.")


def test_a_download_goes_to_the_keras_cache(models, monkeypatch):
    import pooch

    def fetch(url, *, known_hash, fname, path, progressbar):
        assert (known_hash, progressbar) == (f"sha256:{SHA_OF_ABC}", False)
        (Path(path) / fname).write_bytes(b"abc")

    monkeypatch.setattr(pooch, "retrieve", fetch)
    there = offer(weighted(url="https://example.invalid/tiny.h5", sha256=SHA_OF_ABC))
    assert room.choose_backbone(there, "tiny").weights == models / "tiny.h5"


class _Server(http.server.BaseHTTPRequestHandler):
    content = b"w" * 300_500
    said = True

    def do_GET(self):
        self.send_response(200)
        if self.said:
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_):
        return None


@pytest.mark.parametrize("said", [True, False])
def test_a_download_says_how_far_it_is(models, monkeypatch, said):
    monkeypatch.setattr(_Server, "said", said)
    monkeypatch.setenv("NO_PROXY", "*")
    told = []
    with http.server.HTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        there = offer(weighted(url=f"http://127.0.0.1:{server.server_port}/tiny.h5"))
        found = room.locate_backbone(
            there, "tiny", median_side=64, progress=lambda *now: told.append(now)
        )
    assert Path(found.weights).read_bytes() == _Server.content
    assert {what for what, _, _ in told} == {"downloading Tiny, kB"}
    assert 3 <= len(told) <= 8
    done = [now for _, now, _ in told]
    assert done == sorted(done)
    assert 300 <= done[-1] <= 301
    assert {total for _, _, total in told} == {300} or not said


def test_only_http_is_asked_how_far_it_is(models, monkeypatch):
    import pooch

    def fetch(url, *, known_hash, fname, path, progressbar):
        assert progressbar is False
        (Path(path) / fname).write_bytes(b"abc")

    monkeypatch.setattr(pooch, "retrieve", fetch)
    there = offer(weighted(url="ftp://example.invalid/tiny.h5"))
    assert room.choose_backbone(there, "tiny", progress=lambda *now: None).sha256 == SHA_OF_ABC


def test_auto_takes_the_largest_whose_weights_are_whole_and_here(models, caplog):
    for name in ("small.h5", "large.h5", "damaged.h5"):
        (models / name).write_bytes(b"abc")
    there = offer(
        weighted("Small", ("small.h5",), parameters=10),
        weighted("Large", ("large.h5",), parameters=20),
        weighted("Damaged", ("damaged.h5",), parameters=30, sha256="0" * 64),
        weighted("Absent", ("absent.h5",), parameters=40, url="https://example.invalid/x"),
    )
    with caplog.at_level(logging.WARNING, "autotl"):
        assert room.auto(there).offered.backbone.name == "Large"
    assert "Damaged is passed over" in caplog.text


def sizes_differ() -> Plugins:
    by_32 = InputSizes(least=32, most=224, default=224, multiple_of=32)
    large = weighted("Large", ("large.h5",), parameters=20, input_sizes=by_32)
    return offer(large, weighted("Small", ("small.h5",), parameters=10))


@pytest.mark.parametrize(
    ("strategy", "files"),
    [(None, ("small.h5", "large.h5")), ("scratch", ("small.h5", "large.h5")), ("scratch", ())],
)
def test_auto_takes_the_largest_that_takes_the_input_size(models, strategy, files):
    for name in files:
        (models / name).write_bytes(b"abc")
    about = {"median_side": 30, "strategy": strategy}
    for size, name in ((48, "Small"), (224, "Large")):
        found = room.locate_backbone(sizes_differ(), "auto", input_size=size, **about)
        assert (found.backbone.name, found.input_size) == (name, size)
    with pytest.raises(PluginError, match="No backbone here takes inputs of 50 pixels") as caught:
        room.locate_backbone(sizes_differ(), "auto", input_size=50, **about)
    assert "Large takes inputs of 32 to 224 pixels in steps of 32" in str(caught.value)
    assert "Small takes inputs of 32 to 128 pixels in steps of 16" in str(caught.value)
    assert "--input-size" in caught.value.hint


def test_names_are_matched_without_regard_to_case_and_guessed():
    there = offer(tiny(name="MobileNetV2"), tiny(name="embedded"))
    assert room.find(there, "mobilenetv2").backbone.name == "MobileNetV2"
    with pytest.raises(PluginError, match="Did you mean 'MobileNetV2'"):
        room.find(there, "mobilnet_v2")
    with pytest.raises(PluginError, match="no backbone 'xyz'") as caught:
        room.find(there, "xyz")
    assert "MobileNetV2, embedded" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("EfficientNet-B3", "EfficientNetB3"),
        ("efficientnet_v2-s", "EfficientNetV2S"),
        ("res net 50", "ResNet50"),
        ("resnet-50v2", "ResNet50V2"),
        ("mobilenet0.5", "MobileNet-0.5"),
        ("Restnet_50", "ResNet50"),
    ],
)
def test_a_guess_looks_past_hyphens_and_blanks(asked: str, meant: str):
    names = ("EfficientNetB0", "EfficientNetB3", "EfficientNetV2S", "ResNet50V2", "ResNet50")
    there = offer(*(tiny(name=name) for name in (*names, "MobileNet-0.5", "MobileNet-0.75")))
    with pytest.raises(PluginError, match=f"Did you mean '{re.escape(meant)}'"):
        room.find(there, asked)


def test_of_many_backbones_a_message_names_the_command_that_lists_them():
    there = offer(*(tiny(name=f"Net{number}") for number in range(13)))
    with pytest.raises(PluginError, match="no backbone 'xyz'") as caught:
        room.find(there, "xyz")
    assert "`autotl backbones` lists the 13" in caught.value.hint


# ---- input size ----


@pytest.mark.parametrize(
    ("side", "size"), [(1, 32), (25, 32), (26, 48), (64, 80), (90, 128), (102, 128), (4000, 128)]
)
def test_the_input_size_follows_the_images(side, size):
    assert room.choose_input_size(tiny().input_sizes, side) == size


@given(
    st.integers(1, 300), st.integers(0, 300), st.integers(1, 40), st.integers(1, 5000), st.data()
)
def test_the_input_size_is_always_allowed(least, more, step, side, data):
    most = least + more
    multiples = [size for size in range(least, most + 1) if size % step == 0]
    if not multiples:
        return
    default = data.draw(st.sampled_from(multiples))
    sizes = InputSizes(least=least, most=most, default=default, multiple_of=step)
    size = room.choose_input_size(sizes, side)
    assert size in multiples
    better = [other for other in multiples if other >= 1.25 * side]
    assert size == (better[0] if better else multiples[-1])


def test_a_located_backbone_carries_its_size_in_the_preprocessing(models):
    (models / "tiny.h5").write_bytes(b"abc")
    found = room.locate_backbone(offer(weighted()), "tiny", median_side=70)
    assert (found.input_size, found.preprocessing.size) == (96, 96)
    assert (found.weights, found.weights_sha256) == (str(models / "tiny.h5"), SHA_OF_ABC)
    assert found.distribution == "dist"
    assert replace(found.preprocessing, size=64) == weighted().preprocessing
    chosen = room.choose_backbone(offer(weighted()), "tiny")
    with pytest.raises(PluginError, match="32 to 128 pixels in steps of 16, not 50"):
        room.located(chosen, 50)


def test_present_are_those_whose_weights_are_here_the_largest_first(models):
    (models / "small.h5").write_bytes(b"abc")
    assert room.present(sizes_differ()) == ["Small"]
    (models / "large.h5").write_bytes(b"abc")
    assert room.present(sizes_differ()) == ["Large", "Small"]
    assert room.present(sizes_differ(), 48) == ["Small"]
