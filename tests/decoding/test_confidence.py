import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_seq2seq.decoding.confidence import (
    PlattScaling,
    expected_calibration_error,
    fit_scaling,
    word_confidences,
    word_places,
)
from asr_seq2seq.decoding.hypothesis import Hypothesis

SPACE = 4


def hypothesis(tokens: tuple[int, ...], *probabilities: float) -> Hypothesis:
    return Hypothesis(tokens, 0.0, 0.0, chosen=tuple(math.log(p) for p in probabilities))


def test_a_word_is_as_probable_as_its_characters_and_what_ends_it() -> None:
    found = word_confidences(hypothesis((5, 6, SPACE, 7), 0.9, 0.8, 0.7, 0.6, 0.5), SPACE, PlattScaling())
    assert found == pytest.approx([0.9 * 0.8 * 0.7, 0.6 * 0.5])
    assert word_confidences(hypothesis((), 0.9), SPACE, PlattScaling()) == []
    spaces, scaling = hypothesis((SPACE, SPACE, 5), 1, 1, 0.25, 1), PlattScaling(2.0, 1.0)
    assert word_confidences(spaces, SPACE, PlattScaling()) == pytest.approx([0.25])
    assert word_confidences(spaces, SPACE, scaling) == pytest.approx([scaling(0.25)])


@pytest.mark.parametrize(("temperature", "offset"), [(0.3, 0.0), (1.0, -1.5), (1.0, 0.0), (4.0, 0.7)])
def test_the_line_that_made_the_odds_is_found(temperature: float, offset: float) -> None:
    chance = np.random.default_rng(0)
    claimed = chance.uniform(0.001, 0.999, 20_000)
    made = PlattScaling(temperature, offset)
    true = np.array([made(p) for p in claimed])
    right = chance.uniform(size=len(true)) < true
    fitted = fit_scaling(claimed.tolist(), right.tolist())
    assert fitted.temperature == pytest.approx(temperature, rel=0.08)
    assert fitted.offset == pytest.approx(offset, abs=0.05)
    after = expected_calibration_error([fitted(p) for p in claimed], right.tolist())
    assert after < 0.015
    assert after <= expected_calibration_error(claimed.tolist(), right.tolist()) + 0.005


def test_the_fit_is_that_of_a_general_optimizer() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    chance = np.random.default_rng(1)
    claimed = chance.uniform(0.01, 0.99, 60)
    right = chance.uniform(size=60) < claimed**0.5
    odds = np.log(claimed / (1 - claimed))
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / (60 - right.sum() + 2))

    def loss(line: tuple[float, float]) -> float:
        sure = 1 / (1 + np.exp(-(odds * line[0] + line[1])))
        return float(-(target * np.log(sure) + (1 - target) * np.log(1 - sure)).mean())

    best = optimize.minimize(loss, (1.0, 0.0), tol=1e-12).x
    fitted = fit_scaling(claimed.tolist(), right.tolist())
    assert (1 / fitted.temperature, fitted.offset) == pytest.approx(tuple(best), abs=1e-4)


def test_what_tells_nothing_changes_nothing() -> None:
    nothing = PlattScaling()
    assert fit_scaling([0.9, 0.8], [True, True]) == nothing
    assert fit_scaling([0.9, 0.8], [False, False]) == nothing
    assert fit_scaling([], []) == nothing
    reverse = [False, False, True, True]
    assert fit_scaling([0.9, 0.8, 0.2, 0.1], reverse) == nothing
    for same in (0.0, 1e-9, 0.5, 1.0):  # one probability, whatever is right
        fitted = fit_scaling([same] * 40, [True] * 30 + [False] * 10)
        assert 0.05 <= fitted.temperature <= 20 and abs(fitted.offset) <= 30
    parted = fit_scaling([0.99, 0.98, 0.02, 0.01] * 5, [True, True, False, False] * 5)
    assert 0.05 <= parted.temperature <= 20 and abs(parted.offset) < 0.01


def test_calibration_error_of_a_closed_form() -> None:
    assert expected_calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error([1.0] * 4, [True, True, False, False]) == pytest.approx(0.5)
    both = expected_calibration_error([0.2] * 5 + [0.8] * 5, [True] * 5 + [True] * 4 + [False])
    assert both == pytest.approx(0.5 * 0.8)
    assert expected_calibration_error([], []) == 0.0


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 20), st.floats(-100, 100))
def test_confidence_stays_a_probability_and_in_order(
    p: float, q: float, temperature: float, offset: float
) -> None:
    scaling = PlattScaling(temperature, offset)
    assert 0 <= scaling(p) <= 1
    assert scaling(min(p, q)) <= scaling(max(p, q))
    alone = PlattScaling(temperature)(p)
    assert (alone >= 0.5) == (p >= 0.5) or abs(alone - 0.5) < 1e-9


@given(st.lists(st.integers(4, 7), max_size=12))
def test_words_hold_every_character_but_spaces(tokens: list[int]) -> None:
    places = word_places(tokens, SPACE)
    assert [p for word in places for p in word] == [i for i, token in enumerate(tokens) if token != SPACE]
    assert all(word == list(range(word[0], word[-1] + 1)) for word in places)
