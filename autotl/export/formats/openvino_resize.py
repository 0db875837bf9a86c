"""Pillow's bicubic in OpenVINO's operators.

OpenVINO's own cubic knows no antialiasing (177 levels off on noise made smaller), and its
`bicubic_pillow` is compiled anew for every size of image, for seconds at three megapixels. So each
pass is a matrix of weights, computed from the sides when an image comes, times the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.export.formats.openvino_import import imported
from autotl.records import Preprocessing

if TYPE_CHECKING:
    import openvino

BITS = 22
"""Pillow's weights have so many binary places."""


def front(preprocessing: Preprocessing) -> tuple[openvino.Node, openvino.Node]:
    """`image`, a parameter, uint8 (batch, height, width, 3) of any size, and the node that makes
    float32 (batch, size, size, 3) of it, whole levels 0 to 255, as `pixels.resize` does.
    """
    op = _operators()

    image = op.parameter(imported().PartialShape([-1, -1, -1, 3]), np.uint8, name="image")
    shape = op.shape_of(image)
    height, width = (op.gather(shape, _whole(axis), _whole(0)) for axis in (1, 2))
    size = preprocessing.size
    planes = op.convert(op.transpose(image, _whole([0, 3, 1, 2])), "f32")
    if preprocessing.resize == "crop":
        shorter = op.minimum(height, width)
        places = [_cropped(side, shorter, size) for side in (height, width)]
    else:
        places = [(_whole(size), _whole(0))] * 2
    down, across = (
        _weights(side, *place, size) for side, place in zip((height, width), places, strict=True)
    )
    planes = _levels(op.matmul(planes, across, False, True))
    planes = _levels(op.matmul(down, planes, False, False))
    return image, op.transpose(planes, _whole([0, 2, 3, 1]))


def _cropped(side: Any, shorter: Any, size: int) -> tuple[Any, Any]:
    """The length that a side is resized to, and where the cut of `size` begins in it."""
    op = _operators()

    doubled = op.add(op.multiply(side, _whole(2 * size)), shorter)
    length = op.divide(doubled, op.multiply(shorter, _whole(2)))
    return length, op.divide(op.subtract(length, _whole(size)), _whole(2))


def _weights(side: Any, length: Any, start: Any, size: int) -> Any:
    """float32 (size, side): how much of each given pixel goes into the `size` ones from `start` on
    of the `length` that are made of the side. Distances are exact for sides below 2 ** 23 / length.
    """
    op = _operators()

    given, made = (op.convert(number, "f32") for number in (side, length))
    columns = op.range(_whole(0), side, _whole(1), "i64")
    rows = op.add(_whole(np.arange(size)), start)
    from_row = op.unsqueeze(op.multiply(_middles(rows), given), _whole(1))
    distance = op.divide(
        op.absolute(op.subtract(op.multiply(_middles(columns), made), from_row)),
        op.multiply(_real(2), op.maximum(given, made)),
    )
    kernel = _cubic(distance)
    share = op.divide(kernel, op.reduce_sum(kernel, _whole([1]), keep_dims=True))
    steps = op.round(op.multiply(share, _real(2**BITS)), "half_to_even")
    return op.multiply(steps, _real(2**-BITS))


def _middles(places: Any) -> Any:
    """Twice the middles of the pixels at the places, as float32."""
    op = _operators()

    return op.add(op.multiply(op.convert(places, "f32"), _real(2)), _real(1))


def _cubic(distance: Any) -> Any:
    """Keys's kernel with a = -1/2, of distances from 0 on."""
    op = _operators()

    near = _polynomial(distance, 1.5, -2.5, 0.0, 1.0)
    far = _polynomial(distance, -0.5, 2.5, -4.0, 2.0)
    outer = op.select(op.less(distance, _real(2)), far, _real(0))
    return op.select(op.less(distance, _real(1)), near, outer)


def _polynomial(x: Any, *coefficients: float) -> Any:
    op = _operators()

    total = _real(coefficients[0])
    for coefficient in coefficients[1:]:
        total = op.add(op.multiply(total, x), _real(coefficient))
    return total


def _levels(values: Any) -> Any:
    """Rounded to whole levels, as Pillow does between its passes and after them."""
    op = _operators()

    return op.clamp(op.floor(op.add(values, _real(0.5))), 0.0, 255.0)


def _operators() -> Any:
    return imported().opset15


def _whole(values: Any) -> Any:
    op = _operators()

    return op.constant(np.asarray(values, np.int64))


def _real(value: float) -> Any:
    op = _operators()

    return op.constant(np.float32(value))
