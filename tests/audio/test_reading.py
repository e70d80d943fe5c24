import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate, resample_poly

from asr_seq2seq import audio
from asr_seq2seq.audio import libsndfile
from asr_seq2seq.errors import AudioError

RATE = 16000
SHARED = Path(os.environ.get("ASR_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))

# Containers whose files cannot be told by their content, or that need other files beside them.
NOT_FOUND_BY_CONTENT = {"RAW", "SD2"}


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def encode(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    path.write_bytes(encode(samples, rate, **options))
    return path


def likeness(got: np.ndarray, wanted: np.ndarray) -> float:
    """The correlation at the best shift, as codecs delay what they code."""
    length = min(len(got), len(wanted))
    a, b = got[:length].astype(np.float64), wanted[:length].astype(np.float64)
    return float(np.max(correlate(a, b)) / np.sqrt(np.sum(a**2) * np.sum(b**2)))


def all_formats() -> list[tuple[str, str]]:
    found = []
    for kind in soundfile.available_formats():
        found += [(kind, subtype) for subtype in soundfile.available_subtypes(kind)]
    return [pair for pair in found if pair[0] not in NOT_FOUND_BY_CONTENT]


@pytest.mark.parametrize(("kind", "subtype"), all_formats())
def test_every_format_that_soundfile_writes(kind: str, subtype: str, tmp_path: Path) -> None:
    wanted = tone()
    try:
        path = write(tmp_path / "sound.bin", wanted, kind=kind, subtype=subtype)
        plain, rate = soundfile.read(path, dtype="float32")
        with soundfile.SoundFile(path) as sound:
            sound.read(100)
    except soundfile.SoundFileError as error:
        pytest.skip(f"soundfile cannot write it, or not read what it wrote: {error}")
    for source in (path, path.read_bytes()):
        got = audio.load(source, rate)
        assert got.dtype == np.float32
        assert got.shape == plain.shape
        assert np.allclose(got, plain, atol=1e-6)
        if rate == RATE:  # a few formats know only some rates
            assert likeness(got, wanted) > 0.9


@pytest.mark.parametrize(
    ("name", "kind", "subtype"), [("a.sph", "NIST", "PCM_16"), ("a.sph", "NIST", "ULAW")]
)
def test_sphere_by_its_usual_name(name: str, kind: str, subtype: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, tone(), kind=kind, subtype=subtype)
    assert likeness(audio.load(path, RATE), tone()) > 0.99
    assert audio.duration(path) == pytest.approx(0.5)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_channels_are_averaged(channels: int) -> None:
    parts = [tone(hertz=200.0 * (index + 1)) for index in range(channels)]
    data = encode(np.stack(parts, axis=1), subtype="FLOAT")
    assert np.allclose(audio.load(data, RATE), np.mean(parts, axis=0), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000, 7999, 44056, 15999])
def test_any_rate_keeps_the_tone(rate: int) -> None:
    got = audio.load(encode(tone(0.5, rate), rate, subtype="FLOAT"), RATE)
    assert abs(len(got) - RATE // 2) <= 2
    inner = slice(500, -500)  # the ends ring
    assert np.allclose(got[: RATE // 2 - 2][inner], tone()[: RATE // 2 - 2][inner], atol=5e-3)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_resampling_is_like_scipys(rate: int) -> None:
    low = (
        resample_poly(np.random.default_rng(0).standard_normal(2000), 16, 1) * 0.1
    )  # all below 1/16 of the band
    wanted = resample_poly(low, RATE, rate)
    got = audio.load(encode(low.astype(np.float32), rate, subtype="FLOAT"), RATE)
    length = min(len(got), len(wanted))
    assert np.abs(got[200 : length - 200] - wanted[200 : length - 200]).max() < 3e-3


def test_resampling_is_like_librosas_where_rates_have_nothing_in_common() -> None:
    librosa = pytest.importorskip("librosa")
    sound = tone(0.3, 15999)
    got = audio.from_samples(sound, 15999, RATE)
    assert np.allclose(got, librosa.resample(sound, orig_sr=15999, target_sr=RATE), atol=1e-3)


def test_offset_and_duration(tmp_path: Path) -> None:
    wanted = tone(1.0)
    for kind in ("WAV", "FLAC"):
        path = write(tmp_path / f"a.{kind}", wanted, kind=kind)
        piece = audio.load(path, RATE, offset=0.25, duration=0.5)
        assert np.allclose(piece, wanted[4000:12000], atol=2**-15)
        assert len(audio.load(path, RATE, offset=0.25)) == 12000
        assert len(audio.load(path, RATE, offset=0.9, duration=5.0)) == 1600
        with pytest.raises(AudioError, match=r"ends at 1.000 s, before the part that begins at 1.5 s"):
            audio.load(path, RATE, offset=1.5)
    path = write(tmp_path / "a.mp3", wanted, kind="MP3")
    whole = audio.load(path, RATE)
    assert np.allclose(audio.load(path, RATE, offset=0.25, duration=0.5), whole[4000:12000], atol=1e-6)
    with pytest.raises(AudioError, match="before the part"):
        audio.load(path, RATE, offset=5.0)


@pytest.mark.parametrize(
    "piece", [{"offset": -1.0}, {"offset": float("nan")}, {"duration": 0.0}, {"duration": float("inf")}]
)
def test_a_piece_that_cannot_be(piece: dict[str, float]) -> None:
    with pytest.raises(AudioError, match="cannot read"):
        audio.load(encode(tone()), RATE, **piece)


def test_open_files_and_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone(), kind="FLAC")
    wanted = audio.load(path, RATE)
    with path.open("rb") as file:
        assert np.array_equal(audio.load(file, RATE), wanted)
    assert np.array_equal(audio.load(io.BytesIO(path.read_bytes()), RATE), wanted)
    assert np.array_equal(audio.load(str(path), RATE), wanted)
    assert np.array_equal(audio.load(bytearray(path.read_bytes()), RATE), wanted)  # type: ignore[arg-type]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(tone())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert np.array_equal(audio.load("-", RATE), audio.load(data, RATE))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(AudioError, match="standard input is empty"):
        audio.load("-", RATE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert audio.expected_seconds(pipe) == audio.expected_seconds("-") == 0.0  # and nothing is taken out
    data = encode(tone())
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    try:
        assert np.array_equal(audio.load(pipe, RATE), audio.load(data, RATE))
    finally:
        writer.join()


def test_streams_that_do_not_tell_their_length() -> None:
    wav = bytearray(encode(tone()))
    at = wav.index(b"data") + 4
    for unknown in (0xFFFFFFFF, 0x7FFFF000):
        wav[at : at + 4] = unknown.to_bytes(4, "little")
        assert len(audio.load(bytes(wav), RATE)) == RATE // 2


def test_an_ordinary_mp3_is_read_without_a_murmur(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(audio.load(encode(tone(3.0), kind="MP3"), RATE)) == 3 * RATE
    assert capfd.readouterr().err == ""


def test_missing_file_folder_device_and_odd_names(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav does not exist"):
        audio.load(tmp_path / "nowhere.wav", RATE)
    with pytest.raises(AudioError, match="is a folder"):
        audio.load(tmp_path, RATE)
    with pytest.raises(AudioError, match="is a device"):
        audio.load(os.devnull, RATE)
    for name in ("a\0b.wav", "x" * 5000, str(write(tmp_path / "a.wav", tone()) / "b.wav")):
        with pytest.raises(AudioError, match="cannot be opened"):
            audio.load(name, RATE)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    for call in (lambda: audio.load(path, RATE), lambda: audio.duration(path)):
        with pytest.raises(AudioError, match=r"empty\.wav is empty \(0 bytes\)"):
            call()
    with pytest.raises(AudioError, match="is empty"):
        audio.load(b"", RATE)


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "locked.wav", tone())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # Whoever runs the tests as root may read everything, so the refusal is made up.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"locked\.wav may not be read"):
        audio.load(path, RATE)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.raw", "a.txt"])
def test_text_under_another_name(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_text("This is not sound. " * 100)
    for call in (lambda: audio.load(path, RATE), lambda: audio.duration(path)):
        with pytest.raises(AudioError, match=name) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["FLAC", "WAV", "AIFF", "AU", "NIST", "W64", "RF64"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_file(kind: str, share: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sound = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32) * 0.1
    data = encode(sound, kind=kind, subtype="PCM_16")
    path = tmp_path / "cut.bin"
    path.write_bytes(data[: int(share * len(data))])
    for source in (path, path.read_bytes()):
        with pytest.raises(AudioError, match=r"cut short|can be read"):
            audio.load(source, RATE)
    assert "Traceback" not in capfd.readouterr().err


def test_the_whole_part_of_a_cut_wav_can_be_read() -> None:
    data = encode(tone(2.0))
    assert len(audio.load(data[: len(data) // 2], RATE, offset=0.1, duration=0.5)) == RATE // 2


@pytest.mark.parametrize("subtype", ["ULAW", "IMA_ADPCM", "GSM610", "FLOAT", "PCM_24"])
def test_cut_wav_of_other_subtypes(subtype: str) -> None:
    data = encode(tone(2.0, 8000), 8000, subtype=subtype)
    assert len(audio.load(data, 8000)) == pytest.approx(16000, abs=1100)
    with pytest.raises(AudioError, match="cut short"):
        audio.load(data[: len(data) * 2 // 3], 8000)


def test_flac_with_a_hole(tmp_path: Path) -> None:
    data = bytearray(
        encode(np.random.default_rng(0).standard_normal(4 * RATE).astype("f4") * 0.1, kind="FLAC")
    )
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    with pytest.raises(AudioError, match=r"damaged|cut short"):
        audio.load(bytes(data), RATE)


def test_no_samples_silence_and_too_short(tmp_path: Path) -> None:
    for kind in ("WAV", "FLAC"):
        with pytest.raises(AudioError):
            audio.load(write(tmp_path / "none.bin", np.zeros(0, np.float32), kind=kind), RATE)
    with pytest.raises(AudioError, match="holds no samples"):
        audio.load(encode(np.zeros(0, np.float32)), RATE)
    with pytest.raises(AudioError, match=r"zero\.wav holds only digital silence"):
        audio.load(write(tmp_path / "zero.wav", np.zeros(RATE, np.float32)), RATE)
    with pytest.raises(AudioError, match=r"short\.wav is too short \(24\.9 ms of sound\): at least 25 ms"):
        audio.load(write(tmp_path / "short.wav", tone(1.0)[:399]), RATE)
    assert len(audio.load(encode(tone(1.0)[:400]), RATE)) == 400


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_not_finite(bad: float, tmp_path: Path) -> None:
    sound = tone(rate=8000).astype(np.float64)
    sound[100] = bad
    path = write(tmp_path / "nan.wav", sound, 8000, subtype="DOUBLE")
    for rate in (8000, 16000):
        with pytest.raises(
            AudioError, match=r"nan\.wav holds samples that are NaN, infinite or absurdly large"
        ):
            audio.load(path, rate)
        with pytest.raises(AudioError, match="NaN, infinite"):
            audio.from_samples(sound, 8000, rate)


def test_absurd_amplitudes_are_left_alone() -> None:
    assert audio.load(encode(tone() * 1e6, subtype="FLOAT"), RATE).max() > 3e5


def test_absurd_rate() -> None:
    wav = bytearray(encode(tone()))
    wav[24:28] = (3).to_bytes(4, "little")
    with pytest.raises(AudioError, match="claims 3 samples a second"):
        audio.load(bytes(wav), RATE)


def test_duration(tmp_path: Path) -> None:
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):
        path = write(tmp_path / "a.bin", tone(1.5, 48000), 48000, kind=kind)
        assert audio.duration(path) == pytest.approx(1.5, abs=0.08)


def test_the_duration_of_bytes_is_read_from_their_header(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(tone(1.5))
    monkeypatch.setattr(libsndfile.LibsndfileSound, "read", lambda *_: pytest.fail("it was decoded"))
    assert audio.duration(data) == audio.duration(io.BytesIO(data)) == pytest.approx(1.5)


@pytest.mark.skipif(os.name == "nt", reason="names are text on this system")
def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.wav"))
    try:
        path.write_bytes(encode(tone()))
    except OSError:
        pytest.skip("this file system wants names that are text")
    assert np.array_equal(audio.load(path, RATE), audio.load(encode(tone()), RATE))
    assert audio.duration(path) == audio.expected_seconds(path) == pytest.approx(0.5)


# Arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["int8", "int16", "int32", "uint8", "uint16", "float16", "float32", "float64"]
)
def test_array_types(kind: str) -> None:
    wanted = tone()
    if kind.startswith("float"):
        given_ = wanted.astype(kind)
    else:
        half = 2.0 ** (np.iinfo(kind).bits - 1)
        given_ = (np.round(wanted.astype(np.float64) * half) + (half if kind[0] == "u" else 0)).astype(kind)
    before = given_.copy()
    got = audio.from_samples(given_, RATE, RATE)
    assert got.dtype == np.float32
    assert np.allclose(got, wanted, atol=0.005 if kind in ("int8", "uint8") else 1e-3)
    got += 1.0
    assert np.array_equal(given_, before), "the caller's array is not to be changed"


def test_array_shapes_and_tensors() -> None:
    left, right = tone(hertz=300), tone(hertz=500)
    wanted = (left + right) / 2
    for array in (
        np.stack([left, right]),
        np.stack([left, right], axis=1),
        torch.tensor(np.stack([left, right])),
    ):
        assert np.allclose(audio.from_samples(array, RATE, RATE), wanted, atol=1e-6)
    for tensor in (torch.tensor(left), torch.tensor(left)[None], torch.tensor(left, requires_grad=True)):
        assert np.allclose(audio.from_samples(tensor, RATE, RATE), left)
    assert len(audio.from_samples(torch.tensor(left).bfloat16(), RATE, 8000)) == 4000
    frozen = left.copy()
    frozen.flags.writeable = False
    assert np.allclose(audio.from_samples(frozen, RATE, RATE), left)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((16, 500)), "has the shape"),
        (np.zeros((2, 3, 500)), "has the shape"),
        (np.float32(1.0), "has the shape"),
        (np.zeros(500, dtype=bool), "is of type bool"),
        (np.ones(500, dtype=np.int64), "is of type int64"),
        (np.ones(500, dtype=complex), "is of type complex128"),
        (np.zeros(0), "holds no samples"),
        (np.zeros((2, 0)), "has the shape"),
        (np.zeros(500), "digital silence"),
        (np.ones(100), "too short"),
    ],
)
def test_arrays_that_are_no_sound(array: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        audio.from_samples(array, RATE, RATE)


@pytest.mark.parametrize("rate", [0, -8000, 10**9, 44100.5])
def test_arrays_with_an_impossible_rate(rate: int) -> None:
    with pytest.raises(AudioError, match="samples a second"):
        audio.from_samples(tone(), rate, RATE)


# Damage ---------------------------------------------------------------------------------------------------

HEADS = [
    encode(tone(0.1), kind=kind) for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "NIST", "CAF", "W64")
]


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=600))
def test_random_bytes_raise_nothing_but_audio_error(data: bytes) -> None:
    try:
        assert np.isfinite(audio.load(data, RATE)).all()
    except AudioError as error:
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None)
@given(
    head=st.sampled_from(HEADS),
    places=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    keep=st.floats(0.0, 1.0),
)
def test_damaged_files_raise_nothing_but_audio_error(
    head: bytes,
    places: list[tuple[int, int]],
    keep: float,
) -> None:
    data = bytearray(head[: int(len(head) * keep)])
    for place, value in places:
        if data:
            data[place % min(len(data), 200)] = value
    try:
        assert np.isfinite(audio.load(bytes(data), RATE)).all()
    except AudioError as error:
        assert "\n" not in str(error)


# Real recordings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", ["fsdd", "speechocean762", "librispeech"])
def test_real_recordings(corpus: str) -> None:
    manifests = sorted((SHARED / corpus).glob("*.jsonl"))
    if not manifests:
        pytest.skip(f"the corpus {corpus} is not in {SHARED}")
    import json

    lines = manifests[0].read_text().splitlines()
    for line in lines[:: max(1, len(lines) // 8)]:
        record = json.loads(line)
        path = manifests[0].parent / record["audio_filepath"]
        got = audio.load(path, RATE, offset=record.get("offset", 0.0), duration=record["duration"])
        assert len(got) / RATE == pytest.approx(record["duration"], abs=0.08)


@pytest.mark.parametrize("rate", [8000, 16000, 11025, 44100, 15999])
def test_blocks_are_the_whole_sound(
    rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_wav: Callable[..., Path]
) -> None:
    path = write_wav(tmp_path / "a.wav", 1.234, rate=rate)
    whole = audio.load(path, RATE)
    for size in (100, 777, 5000):
        monkeypatch.setattr(libsndfile, "BLOCK_VALUES", size)
        parts = list(audio.blocks(path, RATE))
        assert len(parts) > 1
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5, rtol=1e-5)
        samples, _ = soundfile.read(path, dtype="float32")
        stream = audio.from_blocks(
            (samples[at : at + size] for at in range(0, len(samples), size)), rate, RATE
        )
        np.testing.assert_allclose(np.concatenate(list(stream)), whole, atol=1e-5, rtol=1e-5)


def test_what_ends_badly_gives_what_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsndfile, "BLOCK_VALUES", 1000)
    samples = np.full(4000, 0.1, dtype=np.float32)
    samples[3500] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    found = []
    with pytest.raises(AudioError, match="NaN"):
        for block in audio.blocks(tmp_path / "a.wav", RATE):
            found.append(block)
    assert sum(map(len, found)) == 3000


def test_expected_seconds(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    assert audio.expected_seconds(write_wav(tmp_path / "a.wav", 1.5)) == pytest.approx(1.5)
    assert audio.expected_seconds(tmp_path / "none.wav") == 0
    assert audio.expected_seconds("-") == 0
    assert audio.expected_seconds(np.zeros(3)) == 0
