"""Colour scales of heat maps: one hue from light to dark, readable in grey and by the colour blind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agentnet.errors import InvalidInput

_STOPS = ((238, 244, 251), (158, 194, 230), (62, 124, 190), (22, 68, 124), (8, 26, 54))
"""Light to dark blue; the lightest still stands out from white paper."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value lies between light (0) and dark (1).

    Attributes:
        low: Value of the lightest colour.
        high: Value of the darkest colour.
        log: Equal ratios look equally far apart, for values that range over decades.
    """

    low: float
    high: float
    log: bool = False

    def position(self, value: float) -> float:
        """Returns 0 to 1; values outside the scale get its nearest end, 0.5 if all values are one.

        >>> Scale(1, 100, log=True).position(10)
        0.5
        """
        if self.low == self.high:
            return 0.5
        if value <= self.low:
            return 0.0
        if value >= self.high:
            return 1.0
        if self.log:
            # Differences of logarithms, for the ratio itself may overflow.
            low, high = math.log(self.low), math.log(self.high)
            return (math.log(value) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)

    def value(self, position: float) -> float:
        """Returns the value at a position; the inverse of `position`."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + (high - low) * position), self.low), self.high)
        return self.low + (self.high - self.low) * position

    @classmethod
    def around(
        cls, values: ArrayLike, *, low: float | None = None, high: float | None = None, log: bool = False
    ) -> Scale:
        """Returns a scale over all finite values (on a log scale: all above zero), or over given ends.

        Raises:
            InvalidInput: the ends are not finite, ``low`` is above ``high``, or a log scale starts at zero
                or below.

        >>> Scale.around([0.0, 0.5, 20.0], log=True)
        Scale(low=0.5, high=20.0, log=True)
        """
        found = np.asarray(values, np.float64)
        usable = found[np.isfinite(found) & ((found > 0) | (not log))]
        if usable.size == 0:
            usable = np.array([1.0])
        if low is None:
            low = float(usable.min()) if high is None else min(float(usable.min()), high)
        if high is None:
            high = max(float(usable.max()), low)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (log and low <= 0):
            rule = "0 < low <= high" if log else "low <= high"
            raise InvalidInput(f"a heat map's scale needs finite ends with {rule}; got {low!r} to {high!r}.")
        return cls(low, high, log)


def heat_colour(position: float) -> str:
    """Returns the colour of a position from 0 (light) to 1 (dark).

    >>> heat_colour(0), heat_colour(1)
    ('#eef4fb', '#081a36')
    """
    place = min(max(position, 0.0), 1.0) * (len(_STOPS) - 1)
    first = min(int(place), len(_STOPS) - 2)
    part = place - first
    pairs = zip(_STOPS[first], _STOPS[first + 1], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)
