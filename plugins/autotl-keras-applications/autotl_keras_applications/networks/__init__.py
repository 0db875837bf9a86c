"""The networks as data: what Keras is asked for, stages, sizes, preprocessing, files, licences.

One row a network in `NETWORKS`; `backbones.py` makes the records of it that autotl reads, and
`build.py` the networks. Whoever changes a row raises the version of this distribution: what autotl
has stored of a network is known by it.
"""

from __future__ import annotations

from autotl_keras_applications.networks.convnexts import CONVNEXTS
from autotl_keras_applications.networks.efficientnets import EFFICIENTNETS
from autotl_keras_applications.networks.inceptions import INCEPTIONS
from autotl_keras_applications.networks.mobilenets import MOBILENETS
from autotl_keras_applications.networks.nasnets import NASNETS
from autotl_keras_applications.networks.resnets import DENSENETS, RESNETS
from autotl_keras_applications.networks.row import File, Mode, Network, Sizes
from autotl_keras_applications.networks.vggs import VGGS

NETWORKS = (
    *MOBILENETS,
    *EFFICIENTNETS,
    *RESNETS,
    *DENSENETS,
    *VGGS,
    *INCEPTIONS,
    *NASNETS,
    *CONVNEXTS,
)

__all__ = ["NETWORKS", "File", "Mode", "Network", "Sizes"]
