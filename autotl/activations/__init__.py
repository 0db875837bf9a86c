"""The store of pixels and stage outputs: memory-mapped, checked, capped.

`store_pixels` and `store_rows` run in the parent (NumPy and Pillow only); `ensure` runs in a
worker and imports keras or onnxruntime when it has something to compute.
"""

from autotl.activations.images import StoredRows, store_pixels, store_rows
from autotl.activations.passes import engine_for, ensure
from autotl.activations.store import Usage, cache_folder, cap, clear, holding, usage

__all__ = [
    "StoredRows",
    "Usage",
    "cache_folder",
    "cap",
    "clear",
    "engine_for",
    "ensure",
    "holding",
    "store_pixels",
    "store_rows",
    "usage",
]
