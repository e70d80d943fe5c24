import random

import pytest

from asr_seq2seq.decoding.confidence import PlattScaling
from asr_seq2seq.evaluation.calibration import calibrate
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.text.normalizer import Normalizer

NORMALIZER = Normalizer.named("english-v1")


def _lines(count: int, made: PlattScaling, speakers: int = 0, spread: float = 0.0) -> list[HypothesisLine]:
    """Words that are right as often as their confidence says after it is scaled.

    With a spread the temperature of each speaker is another.
    """
    chance = random.Random(1)
    factors = [10 ** (spread * (-1) ** number) for number in range(max(1, speakers))]
    own = [PlattScaling(made.temperature * factor, made.offset) for factor in factors]
    lines = []
    for number in range(count):
        who = number % max(1, speakers)
        sure = chance.uniform(0.02, 0.98)
        right = chance.random() < own[who](sure)
        speaker = str(who) if speakers else None
        lines.append(
            HypothesisLine(
                str(number), "one", "one" if right else "two", speaker=speaker, confidences=(sure,)
            )
        )
    return lines


@pytest.mark.parametrize("speakers", [0, 1, 6])
def test_the_scaling_that_holds_on_other_speech_is_kept(speakers: int) -> None:
    found = calibrate(_lines(3000, PlattScaling(3.0, 1.0), speakers), NORMALIZER)
    assert found.helps and found.scaling.temperature == pytest.approx(3.0, rel=0.2)
    assert found.scaling.offset == pytest.approx(1.0, abs=0.15)
    assert found.after < 0.04 < found.before
    line = f"temperature {found.scaling.temperature:.2f} and offset {found.scaling.offset:.2f}"
    assert f"off on average, {found.after:.2%} with {line}" in found.describe()


def test_what_helps_only_where_it_was_fitted_is_not_kept() -> None:
    # A few words: of one half all are right, so that the other half's temperature fits it badly.
    few = [HypothesisLine(str(n), "one", "one" if n else "two", confidences=(0.99,)) for n in range(4)]
    # Two speakers of opposite habits.
    unlike = _lines(2000, PlattScaling(), speakers=2, spread=0.6)
    for lines in (few, unlike):
        present = PlattScaling(1.25, 0.5)
        found = calibrate(lines, NORMALIZER, present)
        assert not found.helps and found.scaling == present
        assert "does not help on held-out speech" in found.describe()
        assert "so it stays temperature 1.25 and offset 0.50" in found.describe()


def test_confidence_that_is_right_already_stays() -> None:
    found = calibrate([], NORMALIZER)
    assert (found.scaling, found.before, found.after, found.helps) == (PlattScaling(), 0.0, 0.0, False)
    wrong = [HypothesisLine(str(n), "one", "two", confidences=(0.5,)) for n in range(8)]
    assert calibrate(wrong, NORMALIZER).scaling == PlattScaling()  # no word is right: nothing to fit
    fitted = calibrate(_lines(2000, PlattScaling(2.0), 5), NORMALIZER, PlattScaling(2.0))
    assert fitted.scaling.temperature == pytest.approx(2.0, rel=0.2)
