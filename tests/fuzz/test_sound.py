"""Mutated sound files, read in a child process, as C libraries read them."""

import functools
import io
from collections.abc import Callable

import media
import numpy as np
import pytest
import soundfile
from mutate import Outcome, mutate_bytes

from asr_seq2seq import audio

RATE = 16000
_MATROSKA = [("matroska", "libopus", 48000), ("matroska", "pcm_s16le", RATE), ("webm", "libopus", 48000)]
_VIDEO = [
    ("avi", "pcm_s16le", RATE),
    ("flv", "aac", 44100),
    ("mpegts", "aac", 44100),
    ("asf", "wmav2", 44100),
]
KINDS: dict[str, list[tuple[str, str | None, int]]] = {
    "wav": [("WAV", "PCM_16", RATE), ("WAV", "FLOAT", 8000), ("RF64", "PCM_16", RATE), ("W64", None, RATE)],
    "flac": [("FLAC", "PCM_16", RATE), ("flac", "flac", 44100)],
    "ogg": [("OGG", "VORBIS", RATE), ("OGG", "OPUS", 48000), ("ogg", "flac", RATE)],
    "mp3": [("mp3", "libmp3lame", RATE), ("MP3", "MPEG_LAYER_III", 44100)],
    "mp4": [("mp4", "aac", RATE), ("mov", "pcm_s16le", RATE), ("mp4", "alac", RATE)],
    "matroska": _MATROSKA,
    "aiff": [("AIFF", "PCM_16", RATE), ("aiff", "adpcm_ima_qt", RATE), ("AU", "PCM_16", RATE)],
    "caf": [("CAF", "PCM_16", RATE), ("caf", "alac", RATE), ("NIST", "PCM_16", RATE), ("tta", "tta", RATE)],
    "video": _VIDEO,
    "telephone": [("amr", "libopencore_amrnb", 8000), ("wav", "adpcm_ms", 8000), ("WAV", "GSM610", 8000)],
}


@functools.cache
def seeds(kind: str) -> list[bytes]:
    files = []
    for container, codec, rate in KINDS[kind]:
        sound = (0.1 * np.random.default_rng(0).standard_normal(rate // 4)).astype(np.float32)
        if container.isupper():
            buffer = io.BytesIO()
            soundfile.write(buffer, sound, rate, format=container, subtype=codec)
            files.append(buffer.getvalue())
        else:
            files.append(media.encode(sound, rate, container, codec or container))
    return files


@pytest.mark.parametrize("kind", list(KINDS))
def test_sound(kind: str, campaign: Callable[..., Outcome]) -> None:
    def read(content: bytes) -> None:
        found = audio.load(content, RATE)
        assert found.dtype == np.float32 and np.isfinite(found).all()

    campaign(f"sound: {kind}", seeds(kind), read, [mutate_bytes], in_child=True)
