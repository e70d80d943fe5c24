"""The tool that fits the rule for segments without speech, and the sounds that it makes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import fit_no_speech
from fit_no_speech import Row, fit, main, spared, weighed
from sounds_without_speech import KINDS, made

from asr_seq2seq.errors import ConfigError

ROOT = Path(__file__).parents[2]


def table(count: int = 400) -> tuple[fit_no_speech.Array, fit_no_speech.Array, fit_no_speech.Array]:
    """Two figures, of which the first tells, with answers and counts at random."""
    rng = np.random.default_rng(4)
    figures = np.column_stack((np.ones(count), rng.standard_normal((count, 2))))
    answers = (rng.random(count) < 1 / (1 + np.exp(-1 - 3 * figures[:, 1]))).astype(float)
    return figures, answers, rng.uniform(0, 0.1, count)


def test_one_weight_is_the_log_odds() -> None:
    _, answers, counts = table()
    part = np.average(answers, weights=counts)
    (weight,) = fit(np.ones((len(answers), 1)), answers, counts)
    assert weight == pytest.approx(np.log(part / (1 - part)))


@pytest.mark.parametrize("penalty", [0.0, 0.01, 1.0])
def test_no_change_of_the_weights_is_better(penalty: float) -> None:
    """The penalized log-likelihood is concave: at its one highest point its slope is zero."""
    figures, answers, counts = table()
    weights = fit(figures, answers, counts, penalty)
    found = 1 / (1 + np.exp(-figures @ weights))
    slope = figures.T @ (counts * (found - answers)) + penalty * np.array([0, *weights[1:]])
    assert slope == pytest.approx(np.zeros(3), abs=1e-6)
    if penalty < 0.1:
        assert weights[1] == pytest.approx(3, abs=1)


def test_what_can_be_told_apart_has_finite_weights() -> None:
    figures = np.array([[1.0, -1.0], [1.0, 1.0]])
    weights = fit(figures, np.array([0.0, 1.0]), np.ones(2))
    assert np.all(np.isfinite(weights))
    assert weights[0] == pytest.approx(0, abs=1e-6)


def rows() -> list[Row]:
    """Ten segments of speech whose odds are 0 to 9, and one kind without."""
    speech = [Row("digits", "corpus", (1.0, float(n), 0.0, 0.0, 0.0, 0.0), n + 1, True) for n in range(10)]
    return [*speech, Row("digits", "hum", (1.0, 12.0, 0.0, 0.0, 0.0, 0.0), 3, False)]


@pytest.mark.parametrize("lost", [0.0, 0.1, 0.2, 0.5])
def test_no_more_right_words_are_left_out(lost: float) -> None:
    weights = spared(np.array([0.0, 1, 0, 0, 0, 0]), rows(), lost)
    out = sum(row.words for row in rows() if row.is_speech and np.dot(weights, row.figures) > 0)
    assert out <= lost * 55
    assert weights[1:] == pytest.approx([1, 0, 0, 0, 0])
    if lost == 0.2:
        assert out == 10  # the next has 9 words more


def test_speech_counts_five_times_and_kinds_the_same() -> None:
    _, answers, counts = weighed([*rows(), Row("digits", "claps", (1.0, 0, 0, 0, 0, 0), 9, False)])
    assert counts[answers == 0].sum() == pytest.approx(5)
    assert counts[answers == 1] == pytest.approx([1 / len(KINDS)] * 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_sounds_are_made_from_a_seed(kind: str, rate: int) -> None:
    for seed in range(5):
        seconds = (0.7, 1.0, 2.3, 5.0, 9.0)[seed]
        sound, again = (made(kind, seconds, rate, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(sound, again)
        assert sound.dtype == np.float32
        assert len(sound) == round(seconds * rate)
        assert np.all(np.isfinite(sound))
        assert 1e-4 < np.abs(sound).max() <= 1


def test_it_prints_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        json.dumps({"audio_filepath": str(sound), "text": sound.with_suffix(".txt").read_text().strip()})
        for sound in sorted((ROOT / "data" / "samples").glob("*.flac"))
    ]
    (tmp_path / "speech.jsonl").write_text("\n".join(lines))
    main([f"digits={tmp_path / 'speech.jsonl'}"], utterances=6, sounds=1)
    printed = capsys.readouterr().out
    assert "| hum |" in printed
    last = printed.splitlines()[-1]
    assert last.startswith("WEIGHTS = (")
    assert last.count(",") == 6


def test_a_model_is_named() -> None:
    with pytest.raises(ConfigError, match="MODEL=CORPUS"):
        main(["corpus.jsonl"])
