"""From measurements and a budget to a strategy, with reasons: pure, and without numpy or keras.

Only the standard library is imported here, and msgspec through the records.

What was learnt from training all four strategies on other data lies in `coefficients.json`,
which `benchmarks/coefficients.py` writes.
"""

from autotl.decide.ahead import Ahead, estimate
from autotl.decide.deciding import decide, with_stages
from autotl.decide.prediction import possible
from autotl.decide.sizing import input_size

__all__ = ["Ahead", "decide", "estimate", "input_size", "possible", "with_stages"]
