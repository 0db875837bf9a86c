"""From measurements and a budget to a strategy, with reasons: pure, standard library only.

What was learnt from training all four strategies on other data lies in `coefficients.json`,
which `benchmarks/coefficients.py` writes.
"""

from autotl.decide.deciding import decide

__all__ = ["decide"]
