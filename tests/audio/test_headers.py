"""Sizes that a writer never filled in, sizes that are promises, and files put one behind the other."""

import io
import struct

import av
import media
import numpy as np
import pytest
import soundfile

from asr_seq2seq import audio
from asr_seq2seq.audio.headers import is_placeholder, layout
from asr_seq2seq.audio.source import SoundFile
from asr_seq2seq.errors import AudioError

RATE = 16000


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def encode(samples: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def with_size(data: bytes, size: int) -> bytes:
    """The file with another size of its samples in its header."""
    found = layout(SoundFile(io.BytesIO(data)))
    assert found is not None
    at, code = found.field
    return data[:at] + struct.pack(code, size) + data[at + struct.calcsize(code) :]


SIZED = ["WAV", "WAVEX", "AIFF", "AU", "CAF", "W64"]
PLACEHOLDERS = [0, 2**32 - 1, 2**31 - 1, 0x7FFFF000, 2**31, 2**32 - 37, 2_000_000_000, 1_000_000_000]


@pytest.mark.parametrize("kind", SIZED)
@pytest.mark.parametrize("size", PLACEHOLDERS)
def test_sizes_that_were_never_filled_in(kind: str, size: int) -> None:
    sound = noise(0.5)
    data = encode(sound, RATE, kind, "PCM_16")
    if kind in ("CAF", "W64") and size > 0x7FFFFFFF:
        size = 2**64 - 1
    data = with_size(data, size)
    assert np.allclose(audio.load(data, RATE), sound, atol=2**-14)
    assert audio.duration(data) == pytest.approx(0.5)
    assert np.allclose(audio.load(data, RATE, offset=0.2, duration=0.1), sound[3200:4800], atol=2**-14)


def test_both_sizes_of_a_wav_may_be_missing() -> None:
    data = bytearray(with_size(encode(noise(0.5), RATE, "WAV"), 0))
    data[4:8] = bytes(4)
    assert len(audio.load(bytes(data), RATE)) == RATE // 2
    streamed = encode(noise(0.5), RATE, "RF64", "PCM_16")
    data = bytearray(streamed)
    data[20:44] = struct.pack("<QQQ", 0, 0, 0)
    assert len(audio.load(bytes(data), RATE)) == pytest.approx(RATE // 2, abs=32)


@pytest.mark.parametrize("kind", SIZED)
@pytest.mark.parametrize("factor", [1.2, 3, 100, 20_000])
def test_a_size_that_can_be_meant_is_a_promise(kind: str, factor: float) -> None:
    data = with_size(encode(noise(0.5), RATE, kind, "PCM_16"), round(factor * 16001))
    with pytest.raises(AudioError, match=r"cut short|can be read"):
        audio.load(data, RATE)


def test_an_empty_wav_with_other_chunks_holds_no_sound() -> None:
    data = encode(np.zeros(0, np.float32), RATE, "WAV", "PCM_16")
    with pytest.raises(AudioError, match="holds no samples"):
        audio.load(data + b"LIST" + struct.pack("<I", 4) + b"INFO", RATE)


def test_placeholders() -> None:
    assert is_placeholder(2**31 - 1, 1000) and is_placeholder(2**32 - 37, 1000)
    assert is_placeholder(2 * (2**31 - 1), 1000, 2) and is_placeholder(0, 1000)
    assert not is_placeholder(0, 0)
    assert not is_placeholder(32_000_000, 1000)  # 1,000 s that are not there
    assert not is_placeholder(2_000_000_000, 1_500_000_000)  # a long recording, cut
    assert not is_placeholder(3_123_456_788, 1000)


@pytest.mark.parametrize(
    "kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "OPUS", "MP3", "ALAC"]
)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_joined_files(kind: str, rate: int) -> None:
    container, subtype = {"OPUS": ("OGG", "OPUS"), "ALAC": ("CAF", "ALAC_16")}.get(kind, (kind, None))
    parts = [noise(1.0), noise(2.0, rate, 1), noise(0.5, seed=2)]
    files = [
        encode(part, each, container, subtype) for part, each in zip(parts, (RATE, rate, RATE), strict=True)
    ]
    got = audio.load(b"".join(files), RATE)
    frame = 0.15 if kind == "MP3" else 0.01
    assert len(got) / RATE == pytest.approx(3.5, abs=3 * frame)
    assert audio.duration(b"".join(files)) == pytest.approx(3.5, abs=3 * frame)
    part = audio.load(b"".join(files), RATE, offset=0.8, duration=2.5)
    assert np.allclose(part, got[12800:52800], atol=1e-5)
    if kind not in ("OGG", "OPUS", "MP3"):
        assert np.allclose(got[: RATE - 300], parts[0][:-300], atol=1e-3)
        assert np.allclose(got[-RATE // 2 + 300 :], parts[2][300:], atol=1e-3)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("mp4", "aac", 16000),
        ("matroska", "libopus", 48000),
        ("adts", "aac", 16000),
        ("ac3", "ac3", 48000),
        ("avi", "pcm_s16le", 16000),
        ("mpegts", "aac", 44100),
        ("flv", "aac", 44100),
        ("amr", "libopencore_amrnb", 8000),
        ("tta", "tta", 16000),
        ("voc", "pcm_s16le", 16000),
    ],
)
def test_joined_containers(container: str, codec: str, rate: int) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this release of PyAV cannot write {codec}")
    first, second = (media.encode(noise(seconds, rate), rate, container, codec) for seconds in (1.0, 2.0))
    assert len(audio.load(first + second, RATE)) / RATE == pytest.approx(3.0, abs=0.25)
