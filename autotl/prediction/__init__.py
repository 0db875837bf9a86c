"""A carded ONNX file and raw inputs in, labels out.

It needs onnxruntime, NumPy, Pillow, and onnx to look at the file before it is loaded (`modelfile`).
"""

from autotl.prediction.inputs import Content, Item, items
from autotl.prediction.model import CARD_KEY, CARD_SCHEMA, Model, open_model
from autotl.prediction.predicting import BATCH, Answer, Predicted, answers, predict, predict_items
from autotl.prediction.standard_input import with_standard_input

__all__ = [
    "BATCH",
    "CARD_KEY",
    "CARD_SCHEMA",
    "Answer",
    "Content",
    "Item",
    "Model",
    "Predicted",
    "answers",
    "items",
    "open_model",
    "predict",
    "predict_items",
    "with_standard_input",
]
