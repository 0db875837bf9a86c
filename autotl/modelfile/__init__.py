"""Opening an ONNX file from anywhere with care: looked at, and only then given to onnxruntime.

A file that was made to harm is refused with a `UsageError` before any of its numbers are used:
weights outside its folder, sizes that its data does not have, shapes that no memory holds, notes
without end, operators that are not ONNX's own. Looking costs no more for a file with more weights.
What a graph computes from its input is not bounded here.
"""

from autotl.modelfile.opening import ModelFile, examined, problems
from autotl.modelfile.session import open_session

__all__ = ["ModelFile", "examined", "open_session", "problems"]
