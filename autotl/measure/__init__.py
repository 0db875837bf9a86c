"""How much data, how near to the source domain, how separable at each depth, how fast here.

`measure`, and `rank` among several backbones, run in the parent; the networks run in a worker, by
`measure.sample` and `measure.ranked`.
"""

from autotl.measure.beforehand import beforehand
from autotl.measure.measuring import measure
from autotl.measure.ranking import rank, shortlist, time_to_compare, timed

__all__ = ["beforehand", "measure", "rank", "shortlist", "time_to_compare", "timed"]
