from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import pairwise

import pytest
from autotl_keras_applications import autotl_backbones

from autotl.records import CONTRACT, Backbone, from_json, to_json

BACKBONES = {backbone.name: backbone for backbone in autotl_backbones()}


def test_the_names_are_kerass_own_and_differ() -> None:
    assert list(BACKBONES) == [
        "MobileNet-0.25",
        "MobileNet-0.5",
        "MobileNet-0.75",
        "MobileNet",
        "MobileNetV2-0.35",
        "MobileNetV2-0.5",
        "MobileNetV2-0.75",
        "MobileNetV2",
        "MobileNetV2-1.3",
        "MobileNetV2-1.4",
        "MobileNetV3Small",
        "MobileNetV3Large",
        "EfficientNetB0",
        "EfficientNetV2B0",
        "ResNet50",
        "ResNet50V2",
        "DenseNet121",
        "VGG16",
        "Xception",
        "ConvNeXtTiny",
    ]
    assert len(autotl_backbones()) == len(BACKBONES)


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
    assert backbone.source_domain.startswith("ImageNet")


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=list(BACKBONES))
def test_every_weights_file_has_an_address_and_the_best_comes_first(backbone: Backbone) -> None:
    assert backbone.weights
    for weights in backbone.weights:
        assert weights.url is not None
        assert weights.url.endswith(f"/{weights.file}")
        assert "notop" in weights.file.replace("_", "")
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
