"""The search: trials by fixed recipes and by keras-tuner's proposals, and the choice among them.

`runner.py` runs the loop, `space.py` and `planning.py` and `selection.py` are its pure parts,
`proposals.py` runs in the worker and is the only module that imports keras_tuner.
"""

from autotl.search.proposing import learning_rate
from autotl.search.runner import search

__all__ = ["learning_rate", "search"]
