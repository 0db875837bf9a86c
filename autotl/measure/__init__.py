"""How much data, how near to the source domain, how separable at each depth, how fast here.

`measure` runs in the parent; the networks run in a worker, by `measure.sample`.
"""

from autotl.measure.measuring import measure

__all__ = ["measure"]
