"""The final model on the test rows: figures with intervals, baselines, calibration.

`evaluating.py` is the step, `figures.py` what it works out, `whole.py` what the worker is asked.
"""

from autotl.evaluate.evaluating import evaluate

__all__ = ["evaluate"]
