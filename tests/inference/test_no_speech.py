"""Sound without speech gives no words, and speech keeps its own."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from asr_seq2seq import Recognizer
from asr_seq2seq.audio import load
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.inference.streaming import Final, LiveStream

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))
RATE = 16000

Sound = npt.NDArray[np.float64]


def colored(slope: float) -> Callable[[int, np.random.Generator], Sound]:
    """Noise whose power falls with so high a power of the frequency."""

    def make(count: int, rng: np.random.Generator) -> Sound:
        hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 30)
        return np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) / hertz ** (slope / 2), count)

    return make


def hum(count: int, rng: np.random.Generator) -> Sound:
    """50 Hz and its harmonics, with a little noise."""
    time = np.arange(count) / RATE
    tones = sum(np.sin(2 * np.pi * 50 * n * time + rng.uniform(0, 6)) / n for n in range(1, 10))
    return tones + 0.01 * rng.standard_normal(count)


def music(beat: float, voices: int, decay: float) -> Callable[[int, np.random.Generator], Sound]:
    """Struck notes with overtones, `voices` at once, a beat of seconds apart."""

    def make(count: int, rng: np.random.Generator) -> Sound:
        sound = np.zeros(count + 4 * RATE)
        time = np.arange(round(2 * beat * RATE)) / RATE
        envelope = np.minimum(time / 0.008, 1) * np.exp(-time / decay)
        for begin in range(0, count, round(beat * RATE)):
            lowest = rng.choice([0, 2, 4, 5, 7, 9, 11])
            for above in (0, 4, 7)[:voices]:
                hertz = 196 * 2 ** ((lowest + above) / 12)
                for n in range(1, 12):
                    tone = np.sin(2 * np.pi * hertz * n * time + rng.uniform(0, 6)) / n**1.3
                    sound[begin : begin + len(time)] += envelope * tone
        return sound[:count]

    return make


def drums(count: int, rng: np.random.Generator) -> Sound:
    """A falling tone, bursts of noise and of high noise, in turn."""
    sound = np.zeros(count + RATE)
    time = np.arange(RATE // 3) / RATE
    for number, begin in enumerate(range(0, count, RATE // 4)):
        noise = rng.standard_normal(len(time))
        kick = 3 * np.sin(15 * (1 - np.exp(-30 * time))) * np.exp(-time / 0.1)
        hits = [kick, 0.3 * np.diff(noise, prepend=0) * np.exp(-time / 0.02), noise * np.exp(-time / 0.06)]
        sound[begin : begin + len(time)] += hits[(0, 1, 2, 1)[number % 4]]
    return sound[:count]


KINDS: dict[str, Callable[[int, np.random.Generator], Sound]] = {
    "white": colored(0),
    "pink": colored(1),
    "brown": colored(2),
    "hum": hum,
    "chords": music(1.5, 3, 1.0),
    "melody": music(0.4, 1, 0.5),
    "drums": drums,
}


def made(kind: str, seconds: float, level: float = -26.0) -> npt.NDArray[np.float32]:
    """A sound without speech at 16 kHz, of a level in decibels of full scale."""
    sound = KINDS[kind](round(seconds * RATE), np.random.default_rng(zlib.crc32(kind.encode())))
    return (sound / sound.std() * 10 ** (level / 20)).astype(np.float32)


@pytest.fixture(scope="module", params=["digits", "english"])
def recognizer(request: pytest.FixtureRequest) -> Recognizer:
    return Recognizer.load(request.param, threads=1)


@pytest.fixture(scope="module")
def keeping(recognizer: Recognizer) -> Recognizer:
    """The same model, with nothing left out."""
    options = recognizer.pipeline.options.changed({"no_speech_threshold": 1.0})
    return Recognizer(recognizer.model, options)


def test_noise_and_music_give_no_words(recognizer: Recognizer) -> None:
    sounds = [made(kind, 20) for kind in KINDS]
    for kind, transcript in zip(KINDS, recognizer.transcribe(sounds, rate=RATE), strict=True):
        assert transcript.text == "", kind
        assert transcript.segments == ()
        assert transcript.dropped == ((0.0, 20.0),)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language_model", [None, "english_lm"])
def test_ten_minutes_give_ten_words_at_most(
    recognizer: Recognizer, kind: str, language_model: str | None
) -> None:
    if language_model is not None:
        if recognizer.pipeline.sample_rate != 16000:
            pytest.skip("english_lm is for `english`")
        recognizer = Recognizer.load("english", threads=1, language_model=language_model)
    assert len(recognizer.transcribe(made(kind, 600), rate=RATE).text.split()) <= 10


def test_nothing_is_left_out_where_all_is_kept(keeping: Recognizer) -> None:
    assert keeping.transcribe(made("white", 10), rate=RATE).text
    assert keeping.transcribe(made("drums", 10), rate=RATE).text


def test_speech_is_the_same_alone_and_beside_noise(recognizer: Recognizer, keeping: Recognizer) -> None:
    sounds = [load(sample, RATE) for sample in SAMPLES]
    wanted = [one.text for one in keeping.transcribe(sounds, rate=RATE)]
    mixed = [*sounds[:3], made("pink", 6), *sounds[3:], made("melody", 4)]
    found = [one.text for one in recognizer.transcribe(mixed, rate=RATE)]
    assert found == [*wanted[:3], "", *wanted[3:], ""]


def test_soft_and_noisy_speech_stays(recognizer: Recognizer, keeping: Recognizer) -> None:
    rng = np.random.default_rng(8)
    for change in (0.01, 1.0):
        for sample in SAMPLES:
            sound = change * load(sample, RATE)
            if change == 1.0:
                sound = sound + 0.316 * sound.std() * rng.standard_normal(len(sound)).astype(np.float32)
            transcript = recognizer.transcribe(sound, rate=RATE)
            assert transcript.text == keeping.transcribe(sound, rate=RATE).text != ""


def test_times_are_those_of_the_whole_where_noise_is_left_out(recognizer: Recognizer) -> None:
    speech = load(SAMPLES[0], RATE)
    sound = np.concatenate((made("white", 30, -50), speech, made("white", 30, -50)))
    transcript = recognizer.transcribe(sound, rate=RATE)
    words = [word for segment in transcript.segments for word in segment.words]
    assert len(words) >= 3
    assert words[0].start >= 29.5 and words[-1].end <= 31 + len(speech) / RATE
    assert transcript.duration == pytest.approx(len(sound) / RATE)
    assert sum(end - start for start, end in transcript.dropped) > 30


def test_progress_counts_what_is_left_out_once(recognizer: Recognizer) -> None:
    told: list[float] = []
    sound = np.concatenate((made("white", 30), np.zeros(10 * RATE, np.float32)))
    list(recognizer.transcribe_each([sound], rate=RATE, on_progress=told.append))
    assert sum(told) == pytest.approx(40, abs=0.1)


def test_streams_give_no_segments_of_noise(recognizer: Recognizer) -> None:
    sound = np.concatenate((np.zeros(RATE, np.float32), made("pink", 8), np.zeros(RATE, np.float32)))
    blocks = np.split(sound, 20)
    assert list(recognizer.stream(blocks, rate=RATE)) == []
    live = LiveStream(recognizer, RATE)
    updates = [update for block in blocks for update in live.feed(block)] + list(live.finish())
    texts = [update.segment.text for update in updates if isinstance(update, Final)]
    assert texts and not any(texts)


def test_phrases_say_themselves_what_none_of_them_is() -> None:
    options = {"phrases": ("one", "two", "[unk]")}
    transcript = Recognizer.load("digits", threads=1, decoding=options).transcribe(made("pink", 5), rate=RATE)
    assert transcript.text in ("one", "two", "[unk]")


@pytest.mark.parametrize("has_ctc", [True, False])
def test_what_is_repeated_without_end_is_cut(has_ctc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that repeats what it found is cut to what was said; a text that is said five times is not."""
    import asr_seq2seq.inference.pipeline as pipeline

    recognizer = Recognizer.load("digits", threads=1)
    if not has_ctc:
        acoustic = recognizer.model.acoustic
        encode = acoustic.encode
        monkeypatch.setattr(acoustic, "encode", lambda *given: replace(encode(*given), ctc=None))
    plain = recognizer.transcribe(SAMPLES[0])
    if has_ctc:  # without, the decoder loses its place in so many
        often = np.tile(load(SAMPLES[0], RATE), 5)
        assert recognizer.transcribe(often, rate=RATE).text == " ".join([plain.text] * 5)
    search = pipeline.search

    def endless(*arguments: Any) -> list[list[Hypothesis]]:
        space = recognizer.pipeline.alphabet.space
        return [
            [replace(best, tokens=(*best.tokens, space) * 30, chosen=(*best.chosen[:-1], 0.0) * 30 + (0.0,))]
            for best, *_ in search(*arguments)
        ]

    monkeypatch.setattr(pipeline, "search", endless)
    found = recognizer.transcribe(SAMPLES[0])
    assert found.text == plain.text
    assert [word.text for word in found.segments[0].words] == plain.text.split()
