"""Percentiles against NumPy's own."""

import numpy as np
import pytest

from asr_seq2seq.audio.percentiles import percentiles


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_numpy_agrees(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    points = (0, 2.5, 10, 75, 100)
    assert percentiles(values, *points) == pytest.approx(np.percentile(values, points).tolist(), abs=1e-12)
