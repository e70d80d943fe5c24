"""What PyAV reads: containers, the clock of a file, and that nothing but the file is opened."""

import io
from pathlib import Path

import av
import media
import numpy as np
import pytest
from scipy.signal import correlate

from asr_seq2seq import audio
from asr_seq2seq.errors import AudioError

RATE = 16000


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise whose loudness swells, so that it is like itself at one place only."""
    count = round(seconds * rate)
    voice = np.random.default_rng(seed).standard_normal(count)
    smooth = np.convolve(voice, np.ones(8) / 8, "same")
    return (0.3 * smooth * (0.2 + np.abs(np.sin(np.arange(count) / rate * 7)))).astype(np.float32)


def place(got: np.ndarray, wanted: np.ndarray) -> float:
    """The second of ``got`` at which ``wanted``, both at RATE, is found; AssertionError if it is not."""
    alike = correlate(got.astype(np.float64), wanted, mode="valid")
    at = int(alike.argmax())
    norms = np.linalg.norm(wanted) * np.linalg.norm(got[at : at + len(wanted)])
    assert alike[at] > 0.8 * norms
    return at / RATE


KINDS = [
    ("mp4", "aac", 16000),
    ("ipod", "aac", 44100),
    ("mp4", "alac", 16000),
    ("mp4", "ac3", 48000),
    ("matroska", "libopus", 48000),
    ("webm", "libopus", 48000),
    ("matroska", "flac", 16000),
    ("matroska", "pcm_s16le", 16000),
    ("ogg", "libopus", 48000),
    ("mp3", "libmp3lame", 16000),
    ("mp2", "mp2", 16000),
    ("adts", "aac", 16000),
    ("ac3", "ac3", 48000),
    ("eac3", "eac3", 48000),
    ("asf", "wmav2", 44100),
    ("asf", "wmav1", 44100),
    ("avi", "libmp3lame", 16000),
    ("avi", "pcm_s16le", 16000),
    ("mpegts", "aac", 44100),
    ("mpeg", "mp2", 48000),
    ("flv", "aac", 44100),
    ("amr", "libopencore_amrnb", 8000),
    ("3gp", "aac", 16000),
    ("mov", "pcm_s24le", 16000),
    ("mxf", "pcm_s16le", 48000),
    ("caf", "pcm_s16le", 16000),
    ("aiff", "pcm_s16be", 16000),
    ("aiff", "adpcm_ima_qt", 16000),
    ("au", "pcm_mulaw", 16000),
    ("w64", "pcm_s16le", 16000),
    ("wav", "pcm_s16le", 16000),
    ("wav", "adpcm_ms", 16000),
    ("wav", "libmp3lame", 16000),
    ("voc", "pcm_s16le", 16000),
    ("sox", "pcm_s32le", 16000),
    ("ircam", "pcm_s16le", 16000),
    ("rm", "ac3", 48000),
    ("rm", "real_144", 8000),
    ("oma", "atrac3", 44100),
    ("tta", "tta", 16000),
    ("wv", "wavpack", 16000),
    ("dts", "dca", 48000),
    ("truehd", "truehd", 48000),
    ("nut", "pcm_s16le", 16000),
    ("flac", "flac", 16000),
]


def made(
    container: str, codec: str, seconds: float, rate: int, **options: object
) -> tuple[bytes, np.ndarray]:
    """A file, and the sound that is in it at RATE."""
    sound = noise(seconds, rate)
    channels = 2 if container in ("oma", "dts") or codec == "mp2" else 1
    both = np.stack([sound] * channels, axis=1)
    try:
        data = media.encode(both, rate, container, codec, **options)  # type: ignore[arg-type]
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"PyAV cannot write {codec} in {container}: {error}")
    return data, audio.from_samples(sound, rate, RATE)


@pytest.mark.parametrize(("container", "codec", "rate"), KINDS)
def test_containers(container: str, codec: str, rate: int, tmp_path: Path) -> None:
    data, sound = made(container, codec, 2.0, rate)
    path = tmp_path / "odd: -name.bin"
    path.write_bytes(data)
    got = audio.load(path, RATE)
    if codec not in ("real_144", "libopencore_amrnb"):  # they keep how it sounds, not its samples
        assert place(got, sound[8000:24000]) == pytest.approx(0.5, abs=0.07)
    assert len(got) == pytest.approx(2 * RATE, abs=2500)
    assert np.array_equal(got, audio.load(data, RATE))
    assert audio.duration(path) == pytest.approx(2.0, abs=0.15)
    part = audio.load(path, RATE, offset=0.7, duration=0.5)
    assert np.allclose(part, got[11200:19200], atol=1e-5)
    assert np.allclose(
        audio.load(path, 11025, offset=0.7), audio.load(path, 11025)[round(0.7 * 11025) :], atol=1e-5
    )


@pytest.mark.parametrize("picture", [0.0, 4.0])
@pytest.mark.parametrize("container", ["mp4", "matroska", "mov", "mpegts", "flv", "asf"])
def test_the_clock_of_a_file(container: str, picture: float) -> None:
    codec, rate = ("aac", 44100) if container != "asf" else ("wmav2", 44100)
    if container == "asf" and picture:
        pytest.skip("its muxer does not take this picture")
    if container == "flv" and picture:
        pytest.skip("its muxer does not take this picture")
    start = 1.5 if picture else 0.0
    data, sound = made(container, codec, 2.0, rate, start=start, gap=(1.0, 3.0), picture=picture)
    got = audio.load(data, RATE)
    assert len(got) / RATE == pytest.approx(start + 5.0, abs=0.15)
    assert place(got, sound[1600:12800]) == pytest.approx(start + 0.1, abs=0.07)
    assert place(got, sound[19200:28800]) == pytest.approx(start + 4.2, abs=0.07)
    assert np.abs(got[round((start + 1.3) * RATE) : round((start + 3.7) * RATE)]).max() < 1e-3
    for offset, seconds in ((0.5, 2.0), (start + 3.0, 1.5), (start + 4.1, 0.4)):
        part = audio.load(data, RATE, offset=offset, duration=seconds)
        assert np.allclose(part, got[round(offset * RATE) :][: round(seconds * RATE)], atol=1e-5)


def test_a_track_of_mp4_ends_where_its_header_says() -> None:
    data, _ = made("mp4", "aac", 1.0, RATE)
    assert len(audio.load(data, RATE)) == RATE


def test_flac_stream_of_unknown_length() -> None:
    sound = noise(2.0)
    data = bytearray(media.encode(sound, RATE, "flac", "flac"))
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # samples in all
    assert np.allclose(audio.load(bytes(data), RATE), sound, atol=2**-14)
    assert len(audio.load(bytes(data), RATE, offset=0.25, duration=0.5)) == RATE // 2
    assert audio.duration(bytes(data)) == pytest.approx(2.0)


def test_mp3_of_varying_bitrate_without_a_length_is_read_to_its_end() -> None:
    # Quiet first and loud later: by its first frames it is guessed to be half as long as it is.
    sound = noise(20.0) * np.linspace(0.001, 1.0, 20 * RATE).astype(np.float32)
    data = media.encode(sound, RATE, "mp3", "libmp3lame", options={"write_xing": "0", "q": "4"})
    # A tag before the sound, in which the names of the tags that would tell the length occur.
    size = 5000
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, size >> 7, size & 127]) + b"Xing Info VBRI ".ljust(size, b"\x00")
    for file in (data, tag + data):
        assert len(audio.load(file, RATE)) == pytest.approx(20 * RATE, abs=3000)
    assert audio.duration(data) == pytest.approx(20.0, abs=0.2)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_tags_that_are_no_text_do_not_matter(container: str) -> None:
    data = media.encode(noise(1.0), RATE, container, "aac")
    assert b"Lavf" in data  # the name of the writer, which is a tag
    assert len(audio.load(data.replace(b"Lavf", b"\xff\xfe\xfdf"), RATE)) == pytest.approx(RATE, abs=2048)


def test_a_video_without_sound() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as file:
        stream = file.add_stream("mjpeg", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p"
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(image), *stream.encode(None)]:
            file.mux(packet)
    with pytest.raises(AudioError, match="has no sound track"):
        audio.load(buffer.getvalue(), RATE)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "aac", {"movflags": "faststart"}),
        ("mp4", "aac", {}),
        ("matroska", "libopus", {}),
        ("avi", "pcm_s16le", {}),
        ("caf", "pcm_s16le", {}),
        ("tta", "tta", {}),
        ("wv", "wavpack", {}),
        ("matroska", "pcm_s16le", {}),
        ("wav", "adpcm_ms", {}),
        ("flv", "aac", {}),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_what_is_cut_short_is_not_read(
    container: str, codec: str, options: dict[str, str], share: float
) -> None:
    rate = 48000 if codec == "libopus" else 44100
    data, _ = made(container, codec, 8.0, rate, options=options)
    with pytest.raises(AudioError, match=r"cut short|can be read"):
        audio.load(data[: int(share * len(data))], RATE)
