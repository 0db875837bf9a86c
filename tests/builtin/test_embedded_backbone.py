from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from importlib import import_module
from importlib.resources import files

import numpy as np

from autotl.builtin.embedded_backbone import autotl_backbones
from autotl.records import Backbone, from_json, to_json

(EMBEDDED,) = autotl_backbones()


def test_the_weights_are_in_the_package_and_are_those_of_the_checksum() -> None:
    (weights,) = EMBEDDED.weights
    content = files(weights.package).joinpath(weights.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == weights.sha256


def test_the_reference_statistics_are_those_of_the_checksum_and_of_every_stage() -> None:
    given = EMBEDDED.reference_statistics
    assert given is not None
    content = files(given.package).joinpath(given.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == given.sha256
    assert given.images == 10_000
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        assert found["images"] == given.images
        for stage in EMBEDDED.stages:
            covariance = found[f"{stage}/covariance"]
            assert covariance.shape == (len(found[f"{stage}/mean"]),) * 2
            assert np.isfinite(found[f"{stage}/mean"]).all()
            assert np.linalg.eigvalsh(covariance.astype(np.float64)).min() > -1e-6


def test_the_builder_exists_and_the_sizes_hold_together() -> None:
    module, function = EMBEDDED.build.split(":")
    assert callable(getattr(import_module(module), function))
    sizes = EMBEDDED.input_sizes
    assert EMBEDDED.preprocessing.size == sizes.default
    assert sizes.least <= sizes.default <= sizes.most
    assert all(size % sizes.multiple_of == 0 for size in (sizes.least, sizes.default, sizes.most))


def test_the_record_survives_json() -> None:
    assert from_json(Backbone, to_json(EMBEDDED)) == EMBEDDED


def test_importing_the_plugin_imports_no_keras() -> None:
    code = (
        "import sys, autotl.builtin.embedded_backbone as plugin; plugin.autotl_backbones();"
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "set()"
