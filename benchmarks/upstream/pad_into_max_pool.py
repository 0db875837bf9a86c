"""onnxruntime folds a zero Pad into MaxPool, whose padding means minus infinity."""

from importlib.metadata import version

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

nodes = [
    helper.make_node("Pad", ["x", "pads"], ["y"]),
    helper.make_node("MaxPool", ["y"], ["z"], kernel_shape=[3, 3], strides=[2, 2]),
]
pads = helper.make_tensor("pads", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1])
given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])
found = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
graph = helper.make_graph(nodes, "g", [given], [found], [pads])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
x = np.full((1, 1, 8, 8), -1, np.float32)
(z,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})

print(f"onnxruntime {version('onnxruntime')}")
print(f"the largest of a padding of 0 and of values of -1 is {z[0, 0, 0, 0]}")
if z[0, 0, 0, 0] != 0:
    print("still there")
else:
    at = "autotl/convert.py:_keep_padding"
    print(f"mended in onnxruntime {version('onnxruntime')}: the work-around at {at} may go")
