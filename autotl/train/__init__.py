"""One fit of one recipe, from stored pixels or activations to weights and history.

`trial.run` is called in a worker; `recipes.default` is plain data and imports nothing heavy.
"""

from autotl.train.recipes import default

__all__ = ["default"]
