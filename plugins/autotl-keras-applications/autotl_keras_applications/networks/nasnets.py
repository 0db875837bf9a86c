"""NASNet Mobile and Large."""

from __future__ import annotations

from autotl_keras_applications.networks.row import GOOGLE, ORIGIN, File, Network, Sizes

FEW_CUTS = (
    "each of its cells reads the two before it, so that one tensor carries everything only after "
    "the stem's convolution and at the end"
)


def _nasnet(size: str, last: str, sizes: Sizes, parameters: int) -> Network:
    """Its file bears another name at Keras's address than in Keras's cache."""
    url = f"{ORIGIN}/nasnet/NASNet-{size.lower()}-no-top.h5"
    file = File(name=f"nasnet_{size.lower()}_no_top.h5", url=url, trained_at=sizes.most)
    return Network(
        name=f"NASNet{size}",
        function=f"NASNet{size}",
        stages=("stem_bn1", last),
        mode="tf",
        parameters=parameters,
        files=(file,),
        license=GOOGLE,
        sizes=sizes,
        no_partial_freeze=FEW_CUTS,
    )


NASNETS = (
    _nasnet("Mobile", "activation_187", Sizes(), 4_269_716),
    _nasnet("Large", "activation_259", Sizes(most=331, step=1), 84_916_818),
)
"""331 is a prime, so Large has steps of 1; its cells pad whatever the size."""
