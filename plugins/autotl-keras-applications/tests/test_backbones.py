from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pooch
import pytest
from autotl_keras_applications import autotl_backbones, table
from autotl_keras_applications.networks import NETWORKS
from autotl_keras_applications.networks.row import spread

from autotl.errors import PluginError
from autotl.plugins import choose_backbone, discover, find, usable
from autotl.records import CONTRACT, Backbone, from_json, to_json

BACKBONES = {backbone.name: backbone for backbone in autotl_backbones()}


LEFT_OUT: dict[str, str] = {}
"""Functions of `keras.applications` that give a network and have no row here, each with why."""


def functions() -> set[str]:
    """What `keras.applications` exports that gives a network."""
    import keras

    public = {name for name in dir(keras.applications) if not name.startswith("_")}
    found = {name: getattr(keras.applications, name) for name in public}
    return {name for name, one in found.items() if callable(one)}


def test_every_network_of_keras_has_a_row_or_a_reason() -> None:
    held = {network.function for network in NETWORKS}
    assert functions() - held == set(LEFT_OUT), "keras.applications has others than the table"
    assert held <= functions()
    assert all(LEFT_OUT.values())


def test_the_names_are_kerass_own_and_differ() -> None:
    for network in NETWORKS:
        width = network.arguments.get("alpha", 1.0)
        suffix = "" if width == 1.0 else f"-{width}"
        assert network.name == f"{network.function}{suffix}"
    assert len({network.name.casefold() for network in NETWORKS}) == len(NETWORKS)
    assert [network.name for network in NETWORKS] == list(BACKBONES)


@pytest.mark.parametrize(
    ("count", "numbers"),
    [
        (1, (1,)),
        (8, (1, 2, 3, 4, 5, 6, 7, 8)),
        (9, (1, 2, 3, 4, 6, 7, 8, 9)),
        (16, (2, 4, 6, 8, 10, 12, 14, 16)),
    ],
)
def test_of_a_long_group_some_blocks_are_stages(count: int, numbers: tuple[int, ...]) -> None:
    assert spread(count) == numbers


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("ResNet152", {"conv3_block8_out", "conv4_block36_out", "conv5_block3_out"}),
        ("DenseNet201", {"conv4_block40_concat", "pool4_pool", "conv5_block24_concat", "relu"}),
        ("EfficientNetB7", {"block1a_project_bn", "block2a_project_bn", "block6m_add"}),
        ("EfficientNetV2L", {"block1a_add", "block2a_project_bn", "block6y_add", "block7g_add"}),
        ("VGG19", {"block3_conv3", "block3_pool", "block5_pool"}),
        ("InceptionResNetV2", {"block35_10_ac", "mixed_7a", "block8_9_ac", "conv_7b_ac"}),
    ],
)
def test_stages_follow_from_counts_of_blocks(name: str, stages: set[str]) -> None:
    assert stages <= set(BACKBONES[name].stages)


def test_few_cuts_are_said() -> None:
    reasons = {name: backbone.no_partial_freeze for name, backbone in BACKBONES.items()}
    assert {name for name, reason in reasons.items() if reason} == {"NASNetMobile", "NASNetLarge"}
    assert all(len(BACKBONES[name].stages) > 4 for name, reason in reasons.items() if not reason)


def test_importing_the_plugin_imports_no_keras() -> None:
    code = (
        "import sys, autotl_keras_applications as p; p.autotl_backbones(); "
        "print(sorted({'keras', 'tensorflow', 'numpy', 'h5py'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=list(BACKBONES))
def test_the_facts_are_whole(backbone: Backbone) -> None:
    assert backbone.contract == CONTRACT
    assert from_json(Backbone, to_json(backbone)) == backbone
    assert len(set(backbone.stages)) == len(backbone.stages)
    assert backbone.preprocessing.size == backbone.input_sizes.default
    sizes = backbone.input_sizes
    for size in (sizes.least, sizes.most, sizes.default):
        assert size % sizes.multiple_of == 0
    assert backbone.license
    assert backbone.weights_license
    assert "ImageNet-1k" in backbone.source_domain


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=list(BACKBONES))
def test_every_weights_file_has_an_address_and_the_best_comes_first(backbone: Backbone) -> None:
    assert backbone.weights
    for weights in backbone.weights:
        assert weights.url is not None
        if not backbone.name.startswith("NASNet"):  # Keras gives its files another name
            assert weights.url.endswith(f"/{weights.file}")
        for name in (weights.file, weights.url):
            assert "notop" in name.replace("_", "").replace("-", "")
        if len(backbone.weights) > 1:
            assert f"_{weights.trained_at}_" in weights.file
    sizes = [weights.trained_at or 0 for weights in backbone.weights]
    assert sizes[0] == backbone.input_sizes.default
    assert all(larger > smaller for larger, smaller in pairwise(sizes))


def test_no_two_backbones_share_a_file_or_a_function() -> None:
    files = [weights.file for backbone in BACKBONES.values() for weights in backbone.weights]
    assert len(set(files)) == len(files)
    assert len({backbone.build for backbone in BACKBONES.values()}) == len(BACKBONES)


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=list(BACKBONES))
def test_build_names_a_function(backbone: Backbone) -> None:
    module, _, name = backbone.build.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("MobileNet-0.25", "mobilenet_2_5_128_tf_no_top.h5"),
        ("MobileNet-0.5", "mobilenet_5_0_160_tf_no_top.h5"),
        ("MobileNet-0.75", "mobilenet_7_5_192_tf_no_top.h5"),
        ("MobileNet", "mobilenet_1_0_224_tf_no_top.h5"),
        (
            "MobileNetV2",
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5",
        ),
        (
            "MobileNetV2-0.35",
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
        ),
    ],
)
def test_files_are_spelt_as_in_kerass_cache(name: str, file: str) -> None:
    assert file in [weights.file for weights in BACKBONES[name].weights]


def test_the_widest_have_weights_of_one_size() -> None:
    assert [w.trained_at for w in BACKBONES["MobileNetV2-1.4"].weights] == [224]
    assert [w.trained_at for w in BACKBONES["MobileNetV2-1.3"].weights] == [224]


README = Path(__file__).parent.parent / "README.md"


def test_the_readme_has_the_table_of_the_data() -> None:
    assert table.between(README.read_text("utf-8")) == table.table()


def test_the_table_is_put_into_a_page_and_nothing_else_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{table.START}\nold\n{table.END}\n\nafter\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["table", str(page)])
    table.main()
    filled = page.read_text("utf-8")
    assert filled.startswith(f"before\n\n{table.START}\n")
    assert filled.endswith(f"{table.END}\n\nafter\n")
    assert table.between(filled) == table.table()
    monkeypatch.setattr(sys, "argv", ["table"])
    table.main()
    assert capsys.readouterr().out == f"{table.table()}\n"
    page.write_text("no marks", "utf-8")
    monkeypatch.setattr(sys, "argv", ["table", str(page)])
    with pytest.raises(SystemExit, match="has no lines"):
        table.main()


def test_what_a_network_cannot_do_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = dataclasses.replace(NETWORKS[0], no_export="it is a test")
    monkeypatch.setattr(table, "NETWORKS", (refused, *NETWORKS[1:]))
    assert "No export to ONNX with `MobileNet-0.25`: it is a test." in table.table()
    assert "No partial freeze with `NASNetMobile`, `NASNetLarge`: each of" in table.table()


def test_auto_takes_only_what_is_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("auto fetched a file")

    monkeypatch.setattr(pooch, "retrieve", fetched)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert [one.offered.backbone.name for one in usable(discover())] == ["embedded"]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "nasnet_mobile_no_top.h5").write_bytes(b"weights")
    found = {one.offered.backbone.name for one in usable(discover())}
    assert found == {"embedded", "NASNetMobile"}
    assert choose_backbone(discover(), "auto").offered.backbone.name == "NASNetMobile"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("EfficientNet-B3", "EfficientNetB3"),
        ("resnet-50", "ResNet50"),
        ("efficientnet-v2-s", "EfficientNetV2S"),
        ("inception_v3", "InceptionV3"),
        ("convnext tiny", "ConvNeXtTiny"),
        ("vgg-19", "VGG19"),
    ],
)
def test_other_spellings_of_names_are_guessed(asked: str, meant: str) -> None:
    with pytest.raises(PluginError, match=f"Did you mean '{meant}'"):
        find(discover(), asked)


def test_names_are_matched_whatever_their_case() -> None:
    assert find(discover(), "efficientnetv2s").backbone.name == "EfficientNetV2S"
