"""Pillow's bicubic in TensorFlow's operators: each pass is a matrix of weights times the image."""

from __future__ import annotations

from typing import Any

from autotl.records import Preprocessing

BITS = 22
"""Pillow's weights have so many binary places."""


def resized(image: Any, preprocessing: Preprocessing) -> Any:
    """uint8 (batch, height, width, 3) of any size to float32 (batch, size, size, 3), whole levels
    0 to 255, as `pixels.resize` does.
    """
    import tensorflow as tf

    shape = tf.shape(image, tf.int64)
    height, width = shape[1], shape[2]
    size = preprocessing.size
    if preprocessing.resize == "crop":
        shorter = tf.minimum(height, width)
        places = [_cropped(side, shorter, size) for side in (height, width)]
    else:
        places = [(tf.constant(size, tf.int64), tf.constant(0, tf.int64))] * 2
    down, across = (
        _weights(side, *place, size) for side, place in zip((height, width), places, strict=True)
    )
    planes = tf.cast(tf.transpose(image, [0, 3, 1, 2]), tf.float32)
    planes = _levels(tf.matmul(planes, across, transpose_b=True))
    planes = _levels(tf.matmul(down, planes))
    return tf.transpose(planes, [0, 2, 3, 1])


def _cropped(side: Any, shorter: Any, size: int) -> tuple[Any, Any]:
    """The length that a side is resized to, and where the cut of `size` begins in it."""
    length = (2 * side * size + shorter) // (2 * shorter)
    return length, (length - size) // 2


def _weights(side: Any, length: Any, start: Any, size: int) -> Any:
    """float32 (size, side): how much of each given pixel goes into the `size` ones from `start` on
    of the `length` that are made of the side.
    """
    import tensorflow as tf

    columns = tf.range(side)
    rows = tf.range(size, dtype=tf.int64) + start
    off = (2 * columns + 1) * length - ((2 * rows + 1) * side)[:, None]
    distance = tf.cast(tf.abs(off), tf.float64) / tf.cast(2 * tf.maximum(side, length), tf.float64)
    kernel = _cubic(distance)
    share = kernel / tf.reduce_sum(kernel, axis=1, keepdims=True)
    return tf.cast(tf.round(share * 2.0**BITS) * 2.0**-BITS, tf.float32)


def _cubic(distance: Any) -> Any:
    """Keys's kernel with a = -1/2, of distances from 0 on."""
    import tensorflow as tf

    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((2.5 - 0.5 * distance) * distance - 4.0) * distance + 2.0
    outer = tf.where(distance < 2.0, far, tf.zeros_like(distance))
    return tf.where(distance < 1.0, near, outer)


def _levels(values: Any) -> Any:
    """Rounded to whole levels, as Pillow does between its passes and after them."""
    import tensorflow as tf

    return tf.clip_by_value(tf.floor(values + 0.5), 0.0, 255.0)
