"""Percentiles of levels, as `numpy.percentile` has them, which imports `numpy.ma` at its first call.

That takes as long as it takes to transcribe three seconds of sound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def percentiles(values: npt.NDArray[Any], *points: float) -> list[float]:
    """Values (N,), N at least 1, and percents -> the percentiles, linear between the nearest ranks."""
    ordered = np.sort(values)
    places = [point / 100 * (len(ordered) - 1) for point in points]
    return [float(value) for value in np.interp(places, np.arange(len(ordered)), ordered)]
