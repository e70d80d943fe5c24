import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asr_seq2seq.audio.segmentation import Samples, cutter, find_voice, split
from asr_seq2seq.errors import ConfigError

RATE = 8000


def places(sound: Samples, longest: float, block: int | None = None) -> list[tuple[int, int]]:
    """Where the segments begin and end; they must be what the sound is there."""
    found = []
    size = block or len(sound)
    blocks = (sound[at : at + size] for at in range(0, len(sound), size))
    for start, piece in split(blocks, RATE, longest):
        np.testing.assert_array_equal(piece, sound[start : start + len(piece)])
        found.append((start, start + len(piece)))
    return found


def _tones(*seconds: float, pause: float) -> Samples:
    """Tones with pauses of faint noise between them and around."""
    noise = np.random.default_rng(0)
    parts = []
    for length in seconds:
        parts.append(1e-4 * noise.standard_normal(round(pause * RATE)))
        parts.append(0.3 * np.sin(np.arange(round(length * RATE)) * 0.3))
    parts.append(1e-4 * noise.standard_normal(round(pause * RATE)))
    return np.concatenate(parts).astype(np.float32)


def test_a_short_sound_is_one_piece() -> None:
    sound = _tones(1.0, 1.0, pause=0.5)
    assert places(sound, 10.0) == [(0, len(sound))]


def test_pieces_end_in_pauses_and_hold_all_speech() -> None:
    sound = _tones(*[0.9] * 12, pause=0.4)
    pieces = places(sound, 4.0)
    assert len(pieces) > 3
    covered = np.zeros(len(sound), dtype=bool)
    for start, stop in pieces:
        assert stop - start <= 4.0 * RATE
        for edge in (start, stop - 1):
            assert abs(float(sound[edge])) < 1e-2
        covered[start:stop] = True
    assert covered.all()  # the noise of a pause is no silence


def test_without_a_pause_the_quietest_moment_is_cut() -> None:
    time = np.arange(round(6 * RATE)) / RATE
    swell = 0.2 + 0.15 * np.cos(2 * np.pi * time / 3)  # quietest at 1.5 s and 4.5 s
    sound = (swell * np.sin(time * 2000)).astype(np.float32)
    (_, first), *_ = places(sound, 2.0)
    assert first / RATE == pytest.approx(1.5, abs=0.1)


def test_long_silence_is_left_out_and_silence_alone_is_nothing() -> None:
    dither = np.random.default_rng(0).integers(-1, 2, 20 * RATE) / np.float32(1 << 16)
    for quiet in (np.zeros(20 * RATE, np.float32), np.full(20 * RATE, 0.25, np.float32), dither):
        sound = np.concatenate((quiet, _tones(1.0, pause=0.3), quiet))
        ((start, stop),) = places(sound, 5.0)
        assert start / RATE == pytest.approx(19.75, abs=0.05)
        assert stop / RATE == pytest.approx(21.85, abs=0.05)
        assert places(quiet, 5.0) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0.0, 1.0)), min_size=1, max_size=8),
    st.floats(0.1, 5.0),
)
def test_any_sound_gives_ordered_pieces_within_the_limit(
    parts: list[tuple[float, float]], longest: float
) -> None:
    noise = np.random.default_rng(0)
    sounds = [level * noise.standard_normal(round(length * RATE)) for length, level in parts]
    sound = np.concatenate(sounds).astype(np.float32)
    end = 0
    for start, stop in places(sound, longest):
        assert end <= start < stop <= len(sound)
        assert stop - start <= longest * RATE
        end = stop


@settings(max_examples=20, deadline=None)
@example(1, 0.203125)  # a window whose last frame is short, and whose pause is at its end
@given(st.integers(1, 9000), st.floats(0.2, 3.0))
def test_how_the_sound_comes_in_blocks_changes_nothing(block: int, longest: float) -> None:
    sound = _tones(0.9, 0.2, 1.4, 0.3, 0.7, pause=0.4)
    assert places(sound, longest, max(block, 50)) == places(sound, longest)


def test_no_more_than_a_piece_and_a_block_is_held() -> None:
    taken = 0

    def blocks() -> Iterator[Samples]:
        nonlocal taken
        for _ in range(60):
            taken += RATE
            yield np.concatenate((_tones(0.5, pause=0.1), np.zeros(RATE, np.float32)))[:RATE]

    for start, piece in split(blocks(), RATE, 4.0):
        assert taken <= start + len(piece) + 6 * RATE
    assert taken == 60 * RATE


def test_a_way_to_find_speech_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="energy or silero"):
        cutter("magic")


def test_silero_hears_speech_and_not_noise(shared_data: Path) -> None:
    pytest.importorskip("silero_vad", reason="the package silero-vad is not installed")
    from asr_seq2seq import audio

    first = json.loads((shared_data / "librispeech" / "dev.jsonl").read_text().splitlines()[0])
    path = shared_data / "librispeech" / first["audio_filepath"]
    piece = {"offset": first.get("offset", 0.0), "duration": min(first["duration"], 8.0)}
    speech = torch.from_numpy(audio.load(path, RATE, **piece))
    noise = 0.05 * torch.randn(5 * RATE, generator=torch.Generator().manual_seed(0))
    sound = torch.cat((noise, speech, noise)).numpy()
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        cutter("silero")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    found = find_voice(sound, RATE)
    assert len(found) and found[0, 0] > 4.5 * RATE and found[-1, 1] < 5.5 * RATE + len(speech)
    assert (found[:, 1] - found[:, 0]).sum() > 0.5 * len(speech)


def _words_and_pauses(level: float, count: int = 40) -> tuple[Samples, Samples]:
    """Words of 0.3 s of noise with pauses of 0.2 s that are 45 dB below, and where words are."""
    noise = np.random.default_rng(1)
    spoken = np.tile(np.repeat([1.0, 0.0], [round(0.3 * RATE), round(0.2 * RATE)]), count)
    gains = level * np.where(spoken > 0, 1.0, 10 ** (-45 / 20))
    return (gains * noise.standard_normal(len(gains))).astype(np.float32), spoken.astype(np.float32)


def _bang(seconds: float, level: float) -> Samples:
    return (level * np.random.default_rng(2).uniform(-1, 1, round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize(
    "what",
    [
        "nothing",
        "bang",
        "beep",
        "music",
        "clicks",
        "clipped",
        "soft then loud",
        "loud then soft",
        "offset",
        "soft",
    ],
)
def test_no_loud_event_makes_a_pause_of_speech(what: str) -> None:
    sound, spoken = _words_and_pauses(0.001 if what == "soft" else 0.01)
    event = _bang({"bang": 0.06, "beep": 0.6, "music": 7.0}.get(what, 0.0), 1.0)
    at = 5 * RATE if what == "bang" else 0
    sound = np.concatenate((sound[:at], event, sound[at:]))
    spoken = np.concatenate((spoken[:at], np.zeros(len(event), np.float32), spoken[at:]))
    if what in ("soft then loud", "loud then soft"):
        other, other_spoken = _words_and_pauses(0.3)
        parts = (sound, other) if what == "soft then loud" else (other, sound)
        sound, spoken = np.concatenate(parts), np.concatenate((other_spoken, other_spoken))
    elif what == "clicks":
        sound[:: 3 * RATE] = 0.9
    elif what == "clipped":
        sound[-RATE // 2 :] = np.sign(sound[-RATE // 2 :])
    elif what == "offset":
        sound = sound + np.float32(0.2)
    found = places(sound, 6.0)
    covered = np.zeros(len(sound), bool)
    for start, stop in found:
        covered[start:stop] = True
        assert stop == len(sound) or spoken[stop] == 0, f"a word is cut at {stop / RATE} s"
    assert covered.all()
    assert len(found) <= 1.6 * len(sound) / (6.0 * RATE) + 1
