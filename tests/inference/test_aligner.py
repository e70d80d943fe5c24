import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq import audio
from asr_seq2seq.inference.aligner import AlignedText, align_text, check_model, utterances, widened
from asr_seq2seq.inference.loading import LoadedModel, load
from asr_seq2seq.inference.posteriors import posteriors
from asr_seq2seq.inference.script import Script, ScriptWord, read_script

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
RATE = 8000


def _aligned(*words: tuple[str, float, float], ends: tuple[int, ...] = ()) -> AlignedText:
    script = Script(tuple(ScriptWord(text, (4,)) for text, _, _ in words), ends or (len(words),), Counter())
    times = tuple((start, end) for _, start, end in words)
    return AlignedText(script, times, (1.0,) * len(words), np.zeros(1000), 0.04, times[-1][1] + 1)


def test_lines_are_utterances_whatever_their_length() -> None:
    aligned = _aligned(("a.", 0, 1), ("b", 1, 2), ("c", 5, 90), ends=(2, 3))
    assert utterances(aligned, None, running=False) == [(0, 2), (2, 3)]


def test_running_text_ends_with_its_sentences_or_else_in_pauses() -> None:
    aligned = _aligned(("a", 0, 1), ("b.", 3, 4), ("c!”", 4, 5), ("d", 5, 6))
    assert utterances(aligned, 30, running=True) == [(0, 2), (2, 3), (3, 4)]
    aligned = _aligned(("a", 0, 1), ("b", 1.2, 2), ("c", 2.6, 3), ("d", 3, 4))
    assert utterances(aligned, 30, running=True) == [(0, 2), (2, 4)]


def test_what_is_too_long_is_divided_in_its_longest_pauses() -> None:
    aligned = _aligned(("a", 0, 4), ("b", 4.1, 8), ("c", 8.4, 12), ("d", 12.1, 16), ("e", 16.1, 20))
    assert utterances(aligned, 10, running=False) == [(0, 2), (2, 3), (3, 5)] or utterances(
        aligned, 10, running=False
    ) == [(0, 2), (2, 4), (4, 5)]
    assert utterances(aligned, 1, running=False) == [(n, n + 1) for n in range(5)]  # a word stays whole


def test_two_utterances_share_the_pause_between_them() -> None:
    aligned = _aligned(("a", 1, 2), ("b", 2.4, 3), ("c", 6, 7), ends=(1, 2, 3))
    parts = utterances(aligned, None, running=False)
    assert np.array(widened(aligned, parts, 0.5)) == pytest.approx(
        np.array([[0.5, 2.2], [2.2, 3.5], [5.5, 7.5]])
    )


@pytest.fixture(scope="module")
def digits() -> LoadedModel:
    return load("digits")


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, list[str], list[tuple[float, float]]]:
    """The samples joined, their texts, and where each begins and ends."""
    parts, texts, places, at = [], [], [], 0
    for path in sorted(SAMPLES.glob("*.flac")):
        sound = audio.load(path, RATE)
        parts.append(sound)
        texts.append(path.with_suffix(".txt").read_text(encoding="utf-8").strip())
        places.append((at / RATE, (at + len(sound)) / RATE))
        at += len(sound)
    return np.concatenate(parts), texts, places


def _times(
    model: LoadedModel, sound: np.ndarray, texts: list[str], seconds: float | None = None
) -> np.ndarray:
    found = posteriors(model, [sound], RATE, block_seconds=seconds)
    script = read_script(texts, model.alphabet, model.normalizer)
    aligned = align_text(found, script, model)
    return np.array([aligned.times[part[0]][:1] + aligned.times[part[1] - 1][1:] for part in
                     utterances(aligned, None, running=False)])  # fmt: skip


def test_utterances_lie_where_they_were_joined(digits: LoadedModel, spoken) -> None:
    sound, texts, places = spoken
    times = _times(digits, sound, texts)
    assert (times[:, 0] > np.array(places)[:, 0] - 0.05).all()
    assert (times[:, 1] < np.array(places)[:, 1] + 0.05).all()


def test_blocks_change_no_time(digits: LoadedModel, spoken) -> None:
    sound, texts, _ = spoken
    expected = _times(digits, sound, texts)
    for seconds in (5.0, 9.0):
        assert _times(digits, sound, texts, seconds) == pytest.approx(expected, abs=0.1)


def test_silence_moves_the_times_alone(digits: LoadedModel, spoken) -> None:
    sound, texts, _ = spoken
    noise = (1e-4 * np.random.default_rng(0).standard_normal(20 * RATE)).astype(np.float32)
    expected = _times(digits, sound, texts)
    assert _times(digits, np.concatenate((noise, sound, noise)), texts) == pytest.approx(
        expected + 20, abs=0.1
    )


def test_how_samples_come_changes_nothing(digits: LoadedModel, spoken) -> None:
    sound = spoken[0]
    expected = posteriors(digits, [sound], RATE)
    assert len(expected.ctc) == math.ceil((len(sound) // 80 + 1) / 3)
    for size in (997, 12345):
        found = posteriors(digits, [sound[n : n + size] for n in range(0, len(sound), size)], RATE)
        assert (found.ctc == expected.ctc).all()
        assert (found.decibels == expected.decibels).all()
        assert found.seconds == expected.seconds


def test_a_wrong_text_has_a_lower_score(digits: LoadedModel, spoken) -> None:
    sound, texts, _ = spoken
    script = read_script([texts[0], "nine nine nine", *texts[2:]], digits.alphabet, digits.normalizer)
    aligned = align_text(posteriors(digits, [sound], RATE), script, digits)
    scores = [aligned.score(*part) for part in utterances(aligned, None, running=False)]
    assert int(np.argmin(scores)) == 1


def test_a_word_that_cannot_be_spelled_lies_between_its_neighbors(digits: LoadedModel, spoken) -> None:
    sound, texts, _ = spoken
    words = texts[0].split()
    script = read_script(
        [f"7 {words[0]} 123 {' '.join(words[1:])}", *texts[1:]], digits.alphabet, digits.normalizer
    )
    aligned = align_text(posteriors(digits, [sound], RATE), script, digits)
    times, sure = aligned.times, aligned.confidences
    assert sure[0] is None and sure[2] is None and sure[1] is not None
    assert times[0] == (times[1][0], times[1][0])
    assert times[2] == (times[1][1], times[3][0])


def test_the_rate_that_a_model_takes(make_config: Callable[..., object], digits: LoadedModel) -> None:
    assert check_model(digits) == RATE
