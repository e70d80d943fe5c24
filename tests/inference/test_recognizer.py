import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_seq2seq import Recognizer, Transcript
from asr_seq2seq.errors import AudioError, ConfigError, ModelFileError, OutputError
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.training_config import validate
from asr_seq2seq.writers import to_ctm, write_attention

RATE = 8000  # of the sounds that the tests make


@pytest.fixture
def recognizer(tiny_model: ModelFile) -> Recognizer:
    return Recognizer(tiny_model.loaded())


def _same(one: Transcript, other: Transcript) -> None:
    assert (one.text, one.duration) == (other.text, other.duration)
    assert one.segments[0].tokens == other.segments[0].tokens
    assert one.segments[0].avg_logprob == pytest.approx(other.segments[0].avg_logprob, abs=1e-5)


def test_every_kind_of_source_gives_the_same(recognizer: Recognizer, write_wav, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", 0.5, rate=8000)
    import soundfile

    samples = soundfile.read(path, dtype="float32")[0]
    expected = recognizer.transcribe(path)
    assert isinstance(expected, Transcript)
    assert expected.duration == pytest.approx(0.5)
    for source in (
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        samples,
        torch.from_numpy(samples),
        np.stack([samples, samples]),
    ):
        assert recognizer.transcribe(source, rate=8000) == expected
    for transcript in recognizer.transcribe([path, samples], rate=8000):
        _same(transcript, expected)


def test_a_rate_is_converted(recognizer: Recognizer) -> None:
    tone = np.sin(np.arange(16000) * 0.1).astype(np.float32)
    assert recognizer.transcribe(tone, rate=16000).duration == pytest.approx(1.0)
    assert recognizer.transcribe(tone, rate=8000).duration == pytest.approx(2.0)


@pytest.mark.parametrize("kind", [list, np.asarray, torch.tensor])
def test_samples_without_a_rate_are_refused(recognizer: Recognizer, kind, tmp_path: Path) -> None:
    samples = kind(np.zeros(16000).tolist())
    sources = [samples] if kind is not list else [[np.asarray(samples)]]
    for source in sources:
        with pytest.raises(AudioError, match=r"does not tell its rate: give it in Hz") as caught:
            recognizer.transcribe(source)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError):
        recognizer.stream([samples])


def test_batches_change_nothing(recognizer: Recognizer, make_sounds) -> None:
    sounds = make_sounds(4000, 900, 8000, 1234, 300)
    alone = [recognizer.transcribe(sound, rate=RATE) for sound in sounds]
    for size in (1, 2, 5):
        recognizer.pipeline.batch_size = size
        together = recognizer.transcribe(sounds, rate=RATE)
        for one, other in zip(together, alone, strict=True):
            _same(one, other)


def test_pieces_of_any_length_come_back_in_order(tiny_model: ModelFile, make_sounds) -> None:
    knows_little = replace(tiny_model, provenance={"longest_seconds": 0.5})
    sounds = make_sounds(11000, 900, 6000, 300, 2500, 9000, 4100, 700, 8000, 500)
    recognizer = Recognizer(knows_little.loaded(), batch_size=2)
    together = recognizer.transcribe(sounds, rate=RATE)
    assert max(len(transcript.segments) for transcript in together) > 2
    for transcript, sound in zip(together, sounds, strict=True):
        alone = recognizer.transcribe(sound, rate=RATE)
        assert [(s.id, s.start, s.tokens) for s in transcript.segments] == [
            (s.id, s.start, s.tokens) for s in alone.segments
        ]


def test_one_bad_source_does_not_stop_the_others(recognizer: Recognizer, make_sounds) -> None:
    good = make_sounds(4000)[0]
    results = list(
        recognizer.transcribe_each([good, "missing.wav", torch.full((4000,), torch.nan), good], rate=RATE)
    )
    assert isinstance(results[1], AudioError)
    assert isinstance(results[2], AudioError)
    _same(results[0], recognizer.transcribe(good, rate=RATE))
    _same(results[3], recognizer.transcribe(good, rate=RATE))
    with pytest.raises(AudioError, match=r"missing\.wav"):
        recognizer.transcribe([good, "missing.wav"], rate=RATE)


def test_nothing_in_gives_nothing_out(recognizer: Recognizer) -> None:
    assert recognizer.transcribe([]) == []


def test_load_reads_a_file_and_takes_a_beam_size(tiny_model: ModelFile, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    recognizer = Recognizer.load(tmp_path / "m.safetensors", decoding={"beam_size": 3})
    assert recognizer.pipeline.options.beam_size == 3
    assert recognizer.config == tiny_model.config


def test_what_is_saved_is_loaded(tiny_model: ModelFile, make_sounds, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_model(first, tiny_model)
    options = {"beam_size": 3, "ctc_weight": 0.1, "length_reward": 0.5}
    before = Recognizer.load(first, decoding=options)
    before.save(second)
    after = Recognizer.load(second)
    assert after.pipeline.options == before.pipeline.options
    sounds = make_sounds(9000, 12000)
    assert after.transcribe(sounds, rate=8000) == before.transcribe(sounds, rate=8000)
    with pytest.raises(OutputError):
        after.save(second)
    before.save(tmp_path / "half.safetensors", half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * second.stat().st_size
    first.unlink()
    with pytest.raises(ModelFileError, match="no such model file"):
        before.save(tmp_path / "third.safetensors")


def test_the_runtime_gives_what_the_network_gives(
    recognizer: Recognizer, tiny_model: ModelFile, make_sounds, tmp_path: Path
) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    sounds = make_sounds(4000, 8000, 12000)
    found = Recognizer.load(tmp_path / "m.safetensors").transcribe(sounds, rate=RATE)
    for one, other in zip(found, recognizer.transcribe(sounds, rate=RATE), strict=True):
        _same(one, other)


def test_a_sound_longer_than_the_model_knows_becomes_several_segments(
    recognizer: Recognizer, make_sounds
) -> None:
    recognizer.pipeline.longest_seconds = 1.0
    burst, gap = 5 * make_sounds(4000)[0], torch.full((2400,), 1e-5)
    long = torch.cat((burst, gap, burst, gap, burst))
    transcript = recognizer.transcribe(long, rate=RATE)
    assert len(transcript.segments) == 3
    assert transcript.duration == pytest.approx(len(long) / 8000)
    assert [segment.id for segment in transcript.segments] == [0, 1, 2]
    starts = [segment.start for segment in transcript.segments]
    assert starts == pytest.approx([0.0, 0.65, 1.45], abs=0.03)  # the middles of the pauses
    assert transcript.text == " ".join(segment.text for segment in transcript.segments if segment.text)
    _same(recognizer.transcribe([long, burst], rate=RATE)[0], transcript)


def test_an_absurdly_loud_sound_is_refused(recognizer: Recognizer, make_sounds) -> None:
    (good,) = make_sounds(4000)
    loud, fine = recognizer.transcribe_each([good * 1e20, good], rate=RATE)
    assert isinstance(loud, AudioError)
    assert isinstance(fine, Transcript)


def test_what_is_no_sound_at_all(recognizer: Recognizer) -> None:
    for source in (None, 3, io.StringIO("text")):
        with pytest.raises(AudioError):
            recognizer.transcribe(source)


def test_settings_of_the_search_are_checked(tiny_model: ModelFile, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    with pytest.raises(ConfigError, match="beam_size"):
        Recognizer.load(tmp_path / "m.safetensors", decoding={"beam_size": 0})


@pytest.mark.parametrize("block", [100, 3000, 100_000])
def test_a_stream_gives_the_segments_of_the_whole(recognizer: Recognizer, make_sounds, block: int) -> None:
    recognizer.pipeline.longest_seconds = 1.0
    burst, gap = 5 * make_sounds(4000)[0], torch.full((2400,), 1e-5)
    long = torch.cat((burst, gap, burst, gap, burst))
    whole = recognizer.transcribe(long, rate=RATE)
    blocks = (long.numpy()[at : at + block] for at in range(0, len(long), block))
    segments = list(recognizer.stream(blocks, rate=RATE))
    assert [s.text for s in segments] == [s.text for s in whole.segments]
    assert [(s.id, s.start, s.end) for s in segments] == [(s.id, s.start, s.end) for s in whole.segments]


def test_a_segment_of_a_stream_does_not_wait_for_the_end(recognizer: Recognizer, make_sounds) -> None:
    recognizer.pipeline.longest_seconds = 1.0
    burst, gap = 5 * make_sounds(4000)[0], torch.full((2400,), 1e-5)
    taken = 0

    def microphone():
        nonlocal taken
        while True:
            taken += 1
            yield torch.cat((burst, gap))

    stream = recognizer.stream(microphone(), rate=RATE)
    assert next(stream).id == 0
    assert taken <= 4
    with pytest.raises(AudioError, match="NaN"):
        list(recognizer.stream([torch.full((9000,), torch.nan)], rate=RATE))


def _with(make_config, make_model, tiny_model: ModelFile, changes: dict) -> Recognizer:
    model = make_model(changes, len(tiny_model.alphabet), scale=3.0)
    config = make_config(changes | {"decoding.length_reward": 5.0})  # so that there are words
    return Recognizer(replace(tiny_model, model=model, config=config).loaded())


def test_words_have_a_confidence(recognizer: Recognizer, make_sounds) -> None:
    words = [
        word for s in recognizer.transcribe(make_sounds(8000)[0], rate=RATE).segments for word in s.words
    ]
    assert words
    assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in words)


def test_without_ctc_attention_gives_the_times(make_config, make_model, tiny_model, make_sounds) -> None:
    changes = {"model.decoder.attention": "dot", "model.ctc_weight": 0}
    transcript = _with(make_config, make_model, tiny_model, changes).transcribe(
        make_sounds(8000)[0], rate=RATE
    )
    (segment,) = transcript.segments
    assert segment.timing == "attention peaks"
    assert segment.words
    assert all(0 <= word.start <= word.end <= 1.0 for word in segment.words)


def test_without_either_the_output_says_why(make_config, make_model, tiny_model, make_sounds) -> None:
    changes = {"model.decoder.attention": "none", "model.ctc_weight": 0}
    transcript = _with(make_config, make_model, tiny_model, changes).transcribe(
        make_sounds(8000)[0], rate=RATE
    )
    (segment,) = transcript.segments
    assert segment.timing == "none: the model has neither a CTC head nor attention"
    assert segment.words and all(word.start is None for word in segment.words)
    assert transcript.to_dict()["segments"][0]["timing"] == segment.timing
    with pytest.raises(ConfigError, match="neither a CTC head nor attention"):
        to_ctm(transcript, "a")


def test_attention_on_request(tiny_model: ModelFile, make_sounds, tmp_path: Path) -> None:
    transcript = Recognizer(tiny_model.loaded(), attention=True).transcribe(make_sounds(8000)[0], rate=RATE)
    (segment,) = transcript.segments
    assert segment.attention is not None and segment.attention.shape[0] == len(segment.tokens) + 1
    np.testing.assert_allclose(segment.attention.sum(1), 1, atol=1e-5)
    saved = np.load(write_attention(transcript, tmp_path, "a"))
    np.testing.assert_array_equal(saved["segment_0"], segment.attention)


def test_a_model_of_features_hears_no_sound(tiny_model: ModelFile) -> None:
    config = validate({"features": {"kind": "precomputed", "size": 3}}, "here")
    with pytest.raises(ModelFileError, match="no sound"):
        Recognizer(replace(tiny_model, config=config).loaded())


def test_progress_is_told_all_seconds(recognizer: Recognizer, make_sounds) -> None:
    seconds: list[float] = []
    list(recognizer.transcribe_each(make_sounds(4000, 8000), rate=RATE, on_progress=seconds.append))
    assert sum(seconds) == pytest.approx(1.5)


def test_progress_counts_what_was_recognized(recognizer: Recognizer, make_sounds) -> None:
    """Not what was read: nothing is told before the first batch, and silence is told at the end."""
    recognizer.pipeline.longest_seconds = 1.0
    recognizer.pipeline.batch_size = 1
    burst, silence = 5 * make_sounds(4000)[0], torch.zeros(16000)
    told: list[tuple[str, float]] = []
    (transcript,) = recognizer.transcribe_each(
        [torch.cat((burst, silence, burst))],
        rate=RATE,
        on_progress=lambda seconds: told.append(("seconds", seconds)),
        on_segment=lambda number, segment: told.append((f"segment of {number}", segment.start)),
    )
    assert [what for what, _ in told] == ["seconds", "segment of 0"] * 2 + ["seconds"]
    assert [start for what, start in told if what != "seconds"] == [s.start for s in transcript.segments]
    assert sum(seconds for what, seconds in told if what == "seconds") == pytest.approx(transcript.duration)


@pytest.mark.parametrize("sources", [1, 2])
def test_who_watches_is_told_often_and_gets_the_same(
    recognizer: Recognizer, make_sounds, monkeypatch: pytest.MonkeyPatch, sources: int
) -> None:
    recognizer.pipeline.longest_seconds = 1.0
    for module in ("pipeline", "recognizer"):
        monkeypatch.setattr(f"asr_seq2seq.inference.{module}.WATCHED_SECONDS", 2.0)
    burst, gap = 5 * make_sounds(4000)[0], torch.full((2400,), 1e-5)
    sounds = [torch.cat([burst, gap] * 10)] * sources
    told: list[float] = []
    watched = list(recognizer.transcribe_each(sounds, rate=RATE, on_progress=told.append))
    assert max(told) <= 2.0 and len(told) >= 4 * sources
    assert sum(told) == pytest.approx(sum(one.duration for one in watched if isinstance(one, Transcript)))
    for one, other in zip(watched, recognizer.transcribe(sounds, rate=RATE), strict=True):
        assert isinstance(one, Transcript)
        _same(one, other)
        assert [(s.start, s.text) for s in one.segments] == [(s.start, s.text) for s in other.segments]


def test_a_part_keeps_the_times_of_the_whole(recognizer: Recognizer, make_sounds, tmp_path: Path) -> None:
    import soundfile

    recognizer.pipeline.longest_seconds = 1.0
    burst, silence = 5 * make_sounds(4000)[0], torch.zeros(16000)
    long = torch.cat((burst, silence, burst, silence, burst))
    soundfile.write(tmp_path / "long.wav", long.numpy(), RATE, subtype="FLOAT")
    (alone,) = recognizer.transcribe(burst, rate=RATE).segments
    for source in (long, tmp_path / "long.wav"):
        found = recognizer.transcribe(source, rate=RATE, start=2.5, end=3.0)
        assert (found.start, found.duration) == (2.5, 0.5)
        (segment,) = found.segments
        assert (segment.start, segment.end, segment.tokens) == (2.5, 3.0, alone.tokens)
        for word, whole in zip(segment.words, alone.words, strict=True):
            assert word.start == pytest.approx(2.5 + whole.start, abs=0.002)
        assert Transcript.from_dict(found.to_dict()) == found
        rest = recognizer.transcribe(source, rate=RATE, start=1.0)
        assert rest.duration == pytest.approx(4.5)
        assert rest.dropped[0][0] == 1.0 and rest.dropped[-1][1] <= 5.5
        with pytest.raises(AudioError, match=r"ends at 5.500 s, before the part that begins at 6 s"):
            recognizer.transcribe(source, rate=RATE, start=6)
        with pytest.raises(AudioError, match="give an offset >= 0 and a duration > 0"):
            recognizer.transcribe(source, rate=RATE, start=2, end=1)


def test_settings_that_the_model_cannot_follow(tiny_model: ModelFile, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    for settings, problem in (
        ({"decoding": {"lm_weight": 0.3}}, "no language model"),
        ({"vad": "magic"}, "energy or silero"),
        ({"decoding": {"beam": 3}}, "`beam` is unknown; the options are beam_size"),
        ({"decoding": {"temperature": -1}}, "temperature"),
    ):
        with pytest.raises(ConfigError, match=problem):
            Recognizer.load(tmp_path / "m.safetensors", **settings)


def test_what_was_left_out_is_told(recognizer: Recognizer, make_sounds) -> None:
    recognizer.pipeline.longest_seconds = 2.0
    burst, silence = 5 * make_sounds(4000)[0], torch.zeros(5 * 8000)
    transcript = recognizer.transcribe(torch.cat((silence, burst, silence, burst)), rate=RATE)
    assert [span for pair in transcript.dropped for span in pair] == pytest.approx(
        [0, 4.75, 5.75, 10.25], abs=0.03
    )
    assert Transcript.from_dict(transcript.to_dict()).dropped == transcript.dropped
    assert recognizer.transcribe(burst, rate=RATE).dropped == ()


def test_channels_one_by_one(recognizer: Recognizer, make_sounds, tmp_path: Path) -> None:
    import soundfile

    both = torch.stack(make_sounds(8000, 8000)).numpy()
    soundfile.write(tmp_path / "call.wav", both.T, 8000, subtype="FLOAT")
    for channel in (0, 1):
        alone = recognizer.transcribe(both[channel], rate=RATE)
        for source in (both, tmp_path / "call.wav"):
            found = recognizer.transcribe(source, rate=RATE, channel=channel)
            assert replace(found, channel=None) == alone
            assert found.channel == channel
            assert found.to_dict()["channel"] == channel + 1
            assert Transcript.from_dict(found.to_dict()) == found
    assert recognizer.transcribe(both, rate=RATE).channel is None
    with pytest.raises(AudioError, match="no channel 2"):
        recognizer.transcribe(tmp_path / "call.wav", channel=2)
