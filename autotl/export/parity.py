"""How far two sets of probabilities are apart, and whether that is rounding or a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]

TIMES_RESPONSE = 10.0
"""A faithful export is about as far off as the model's response to a relative change of 1e-6;
the smallest fault that was met lay at six hundred times that."""

TIMES_ROUNDED = 3.0
"""The same for weights rounded to float16, where the model's response to just that is known: the
file rounds others, its batch norm being folded into its kernels."""

ROUNDING = 1e-5
"""What float32 sums in another order may do to a probability of a model that hardly responds."""

EXTREME = 1e-4
"""The same for the most affected of a thousand images, noise among them; met: 1.1e-5. Responses
are measured with one draw each, and on fewer images."""

AGREEMENT = 0.999
MEDIAN = 1e-3
_WORST = 5


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Two sets of probabilities (n, classes) side by side, row by row.

    `differences` is the largest difference of a row; `margins` the lead of the first class over
    the second in the reference; `agree` whether the first class is the same.
    """

    differences: NDArray[np.float64]
    margins: NDArray[np.float64]
    agree: NDArray[np.bool_]

    @property
    def largest(self) -> float:
        """The largest difference of any probability."""
        return float(self.differences.max())

    @property
    def median(self) -> float:
        """The median, over rows, of a row's largest difference."""
        return float(np.median(self.differences))

    @property
    def agreement(self) -> float:
        """Share of rows, 0 to 1, with the same first class."""
        return float(self.agree.mean())

    def unexplained(self, margin: float) -> NDArray[np.bool_]:
        """Rows with another first class though the reference leads by `margin` or more."""
        return ~self.agree & (self.margins >= margin)

    def worst(self, names: Sequence[str]) -> tuple[str, ...]:
        """Lines on the rows that are furthest apart, those of another class first."""
        order = np.lexsort((-self.differences, self.agree))[:_WORST]
        return tuple(
            f"{names[row]}: differs by {self.differences[row]:.2e}"
            + ("" if self.agree[row] else f", another class (lead {self.margins[row]:.2e})")
            for row in order
        )


def compare(given: Probabilities, reference: Probabilities) -> Apart:
    """Set `given` beside `reference`, both (n, classes), n > 0, two classes or more."""
    ranked = np.sort(reference.astype(np.float64), axis=1)
    return Apart(
        differences=np.abs(given.astype(np.float64) - reference).max(axis=1),
        margins=ranked[:, -1] - ranked[:, -2],
        agree=given.argmax(axis=1) == reference.argmax(axis=1),
    )


def tolerance(tiny_response: float, least: float = ROUNDING) -> float:
    """The largest difference that is rounding, for a model of this response; at least `least`."""
    return max(TIMES_RESPONSE * tiny_response, least)
