import random

import pytest

from asr_seq2seq.decoding.confidence import soften
from asr_seq2seq.evaluation.calibration import calibrate
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.text.normalizer import Normalizer

NORMALIZER = Normalizer.named("english-v1")


def _lines(count: int, temperature: float, speakers: int = 0, spread: float = 0.0) -> list[HypothesisLine]:
    """Words that are right as often as their confidence says after it is softened by the temperature.

    With a spread that of each speaker is another.
    """
    chance = random.Random(1)
    own = [temperature * 10 ** (spread * (-1) ** number) for number in range(max(1, speakers))]
    lines = []
    for number in range(count):
        who = number % max(1, speakers)
        sure = chance.uniform(0.02, 0.98)
        right = chance.random() < soften(sure, own[who])
        speaker = str(who) if speakers else None
        lines.append(
            HypothesisLine(
                str(number), "one", "one" if right else "two", speaker=speaker, confidences=(sure,)
            )
        )
    return lines


@pytest.mark.parametrize("speakers", [0, 1, 6])
def test_the_temperature_that_holds_on_other_speech_is_kept(speakers: int) -> None:
    found = calibrate(_lines(3000, 3.0, speakers), NORMALIZER)
    assert found.helps and found.temperature == pytest.approx(3.0, rel=0.2)
    assert found.after < 0.04 < found.before
    assert f"off on average, {found.after:.2%} with temperature {found.temperature:.2f}" in found.describe()


def test_what_helps_only_where_it_was_fitted_is_not_kept() -> None:
    # A few words: of one half all are right, so that the other half's temperature fits it badly.
    few = [HypothesisLine(str(n), "one", "one" if n else "two", confidences=(0.99,)) for n in range(4)]
    # Two speakers of opposite habits.
    unlike = _lines(2000, 1.0, speakers=2, spread=0.6)
    for lines in (few, unlike):
        found = calibrate(lines, NORMALIZER, present=1.25)
        assert not found.helps and found.temperature == 1.25
        assert "does not help on held-out speech" in found.describe() and "stays 1.25" in found.describe()


def test_confidence_that_is_right_already_stays() -> None:
    found = calibrate([], NORMALIZER)
    assert (found.temperature, found.before, found.after, found.helps) == (1.0, 0.0, 0.0, False)
    wrong = [HypothesisLine(str(n), "one", "two", confidences=(0.5,)) for n in range(8)]
    assert calibrate(wrong, NORMALIZER).temperature == 1.0  # no word is right: nothing to fit
    fitted = calibrate(_lines(2000, 2.0, 5), NORMALIZER, present=2.0)
    assert fitted.temperature == pytest.approx(2.0, rel=0.2)
