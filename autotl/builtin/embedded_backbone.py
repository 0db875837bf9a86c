"""The backbone `embedded`: a small residual network whose weights come with the package."""

from __future__ import annotations

from autotl.builtin.embedded import (
    DEVIATION,
    MEAN,
    PARAMETERS,
    REFERENCE_FILE,
    REFERENCE_IMAGES,
    STAGES,
    WEIGHTS_FILE,
    recorded_checksum,
)
from autotl.hookspecs import hookimpl
from autotl.records import Backbone, InputSizes, Preprocessing, ReferenceStatistics, Weights

DEFAULT_SIZE = 64
PACKAGE = "autotl.builtin.embedded"

SOURCE_DOMAIN = (
    "Tiny ImageNet: 100,000 photographs of 200 everyday kinds of animals, plants, things and "
    "places, 64 × 64 pixels"
)
WEIGHTS_LICENSE = (
    "trained on Tiny ImageNet, whose images ImageNet gives for non-commercial research and "
    "education only, with an ImageNet MobileNetV2 as teacher"
)


def backbone() -> Backbone:
    """The network as data; raises ValueError where no checksum of its files is recorded."""
    weights = Weights(
        file=WEIGHTS_FILE.name,
        package=PACKAGE,
        sha256=recorded_checksum(),
        trained_at=DEFAULT_SIZE,
    )
    return Backbone(
        name="embedded",
        build="autotl.builtin.embedded.network:build",
        stages=STAGES,
        input_sizes=InputSizes(least=32, most=128, default=DEFAULT_SIZE, multiple_of=16),
        preprocessing=Preprocessing(
            size=DEFAULT_SIZE, scale=1 / 255, mean=MEAN, deviation=DEVIATION
        ),
        parameters=PARAMETERS,
        license="Apache-2.0",
        source_domain=SOURCE_DOMAIN,
        weights=(weights,),
        weights_license=WEIGHTS_LICENSE,
        reference_statistics=ReferenceStatistics(
            file=REFERENCE_FILE.name,
            package=PACKAGE,
            sha256=recorded_checksum(REFERENCE_FILE.name),
            size=DEFAULT_SIZE,
            images=REFERENCE_IMAGES,
        ),
    )


@hookimpl
def autotl_backbones() -> list[Backbone]:
    """The backbone `embedded`."""
    return [backbone()]
