from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asr_seq2seq import audio
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.inference.streaming import Delta, Final, LiveStream, Partial, Started, Update

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("digits", threads=1)


def speech(count: int, pause: float = 1.0) -> tuple[npt.NDArray[np.float32], int]:
    """The first samples with pauses of soft noise between, before and after them."""
    parts, rate = [], 8000  # the rate of the model
    generator = np.random.default_rng(0)
    for file in SAMPLES[:count]:
        parts += [1e-4 * generator.standard_normal(int(pause * rate)), audio.load(file, rate)]
    parts.append(1e-4 * generator.standard_normal(int(pause * rate)))
    return np.concatenate(parts).astype(np.float32), rate


def run(live: LiveStream, sound: npt.NDArray[np.float32], block: int) -> list[Update]:
    updates: list[Update] = []
    for begin in range(0, len(sound), block):
        updates += live.feed(sound[begin : begin + block])
    return [*updates, *live.finish()]


def test_finals_are_the_transcripts_of_the_same_sound(recognizer: Recognizer) -> None:
    sound, rate = speech(4)
    updates = run(LiveStream(recognizer, rate), sound, 160)
    finals = [update for update in updates if isinstance(update, Final)]
    assert len(finals) == len([update for update in updates if isinstance(update, Started)]) >= 4
    for final in finals:
        start, end = (round(time * rate) for time in (final.segment.start, final.segment.end))
        assert np.array_equal(sound[start:end], final.samples)
        assert final.segment.text == recognizer.transcribe(final.samples, rate=recognizer.sample_rate).text
    wanted = " ".join(Path(file).with_suffix(".txt").read_text().strip() for file in SAMPLES[:4])
    found = " ".join(final.segment.text for final in finals)
    assert len(set(found.split()) & set(wanted.split())) >= len(set(wanted.split())) - 2


def test_deltas_are_final_and_what_may_change_is_partial(recognizer: Recognizer) -> None:
    sound, rate = speech(4)
    text, partial = "", 0
    for update in run(LiveStream(recognizer, rate), sound, 800):
        if isinstance(update, Delta):
            text += update.text
        elif isinstance(update, Partial):
            partial += 1
            assert not text
        elif isinstance(update, Final):
            assert text == update.segment.text
            text = ""
    assert partial >= 8 and not text


@pytest.mark.parametrize("block", [1, 137, 100_000])
def test_blocks_change_no_final(recognizer: Recognizer, block: int) -> None:
    sound, rate = speech(1, 0.6)
    wanted = [u for u in run(LiveStream(recognizer, rate), sound, 800) if isinstance(u, Final)]
    found = [u for u in run(LiveStream(recognizer, rate), sound, block) if isinstance(u, Final)]
    assert [one.segment for one in found] == [one.segment for one in wanted]


def test_silence_says_nothing_and_long_speech_is_cut(recognizer: Recognizer) -> None:
    rate = recognizer.sample_rate
    assert run(LiveStream(recognizer, rate), np.zeros(5 * rate, np.float32), 800) == []
    live = LiveStream(recognizer, rate, pauses=False)
    sound = speech(7, 0.1)[0]
    finals = [update for update in run(live, sound, 4000) if isinstance(update, Final)]
    assert len(finals) > 1
    assert all(len(final.samples) <= recognizer.longest_seconds * rate for final in finals)


def test_what_is_cleared_is_forgotten(recognizer: Recognizer) -> None:
    sound, rate = speech(1)
    live = LiveStream(recognizer, 2 * rate)
    list(live.feed(np.repeat(sound, 2)[: 3 * rate]))
    live.clear()
    assert not [update for update in live.finish() if isinstance(update, Final)]


def test_another_rate_ends_the_open_segment_and_times_go_on(recognizer: Recognizer) -> None:
    sound, rate = speech(1)
    live = LiveStream(recognizer, rate, pauses=False)
    updates = [*live.feed(sound), *live.change(2 * rate, pauses=False)]
    updates += [*live.feed(np.repeat(sound, 2)), *live.finish()]
    first, second = [update.segment for update in updates if isinstance(update, Final)]
    assert first.text == second.text != ""
    assert (first.start, first.end) == (0, second.start) and first.end == pytest.approx(len(sound) / rate)
