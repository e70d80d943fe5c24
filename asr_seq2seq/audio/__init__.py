"""Sound in: any file, stream or array becomes one mono float32 waveform at the model's rate."""

from asr_seq2seq.audio.arrays import from_blocks, from_samples
from asr_seq2seq.audio.checks import LOUDEST, MINIMUM_SECONDS, RATES, Samples
from asr_seq2seq.audio.reading import (
    blocks,
    channel_count,
    duration,
    expected_seconds,
    load,
    load_native,
    native_rate,
)
from asr_seq2seq.audio.source import Source

__all__ = [
    "LOUDEST",
    "MINIMUM_SECONDS",
    "RATES",
    "Samples",
    "Source",
    "blocks",
    "channel_count",
    "duration",
    "expected_seconds",
    "from_blocks",
    "from_samples",
    "load",
    "load_native",
    "native_rate",
]
