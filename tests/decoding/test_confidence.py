import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_seq2seq.decoding.confidence import (
    expected_calibration_error,
    fit_temperature,
    soften,
    word_confidences,
    word_places,
)
from asr_seq2seq.decoding.hypothesis import Hypothesis

SPACE = 4


def hypothesis(tokens: tuple[int, ...], *probabilities: float) -> Hypothesis:
    return Hypothesis(tokens, 0.0, 0.0, chosen=tuple(math.log(p) for p in probabilities))


def test_a_word_is_as_probable_as_its_characters_and_what_ends_it() -> None:
    found = word_confidences(hypothesis((5, 6, SPACE, 7), 0.9, 0.8, 0.7, 0.6, 0.5), SPACE, 1.0)
    assert found == pytest.approx([0.9 * 0.8 * 0.7, 0.6 * 0.5])
    assert word_confidences(hypothesis((), 0.9), SPACE, 1.0) == []
    assert word_confidences(hypothesis((SPACE, SPACE, 5), 1, 1, 0.25, 1), SPACE, 1.0) == pytest.approx([0.25])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_odds_is_found(temperature: float) -> None:
    chance = np.random.default_rng(0)
    true = chance.uniform(0.05, 0.999, 20_000)
    right = chance.uniform(size=len(true)) < true
    claimed = [soften(p, 1 / temperature) for p in true]
    fitted = fit_temperature(claimed, right.tolist())
    assert fitted == pytest.approx(temperature, rel=0.05)
    after = expected_calibration_error([soften(p, fitted) for p in claimed], right.tolist())
    assert after < 0.015
    assert after <= expected_calibration_error(claimed, right.tolist()) + 0.005


def test_all_right_or_all_wrong_changes_nothing() -> None:
    assert fit_temperature([0.9, 0.8], [True, True]) == 1.0
    assert fit_temperature([0.9, 0.8], [False, False]) == 1.0
    assert fit_temperature([], []) == 1.0


def test_calibration_error_of_a_closed_form() -> None:
    assert expected_calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error([1.0] * 4, [True, True, False, False]) == pytest.approx(0.5)
    both = expected_calibration_error([0.2] * 5 + [0.8] * 5, [True] * 5 + [True] * 4 + [False])
    assert both == pytest.approx(0.5 * 0.8)
    assert expected_calibration_error([], []) == 0.0


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.05, 20))
def test_confidence_stays_a_probability_and_on_its_side(probability: float, temperature: float) -> None:
    softened = soften(probability, temperature)
    assert 0 <= softened <= 1
    assert (softened >= 0.5) == (probability >= 0.5) or abs(softened - 0.5) < 1e-9


@given(st.lists(st.integers(4, 7), max_size=12))
def test_words_hold_every_character_but_spaces(tokens: list[int]) -> None:
    places = word_places(tokens, SPACE)
    assert [p for word in places for p in word] == [i for i, token in enumerate(tokens) if token != SPACE]
    assert all(word == list(range(word[0], word[-1] + 1)) for word in places)
