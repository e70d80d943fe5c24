"""Model files of recognizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asr_seq2seq import bundled
from asr_seq2seq.config import RecognizerSettings
from asr_seq2seq.model_file.parameters import acoustic_parameters
from asr_seq2seq.model_file.storage import Kind, ModelArrays, read_file, write_file

AcousticArrays = ModelArrays[RecognizerSettings]
RECOGNIZER = Kind("asr_seq2seq/1", RecognizerSettings, acoustic_parameters)
_LONGEST_SECONDS = 30.0  # where a file does not tell


def read_model(path: str | Path | None = None) -> AcousticArrays:
    """Read a recognizer's model file, or a bundled one by its name; `english` where `path` is None.

    Raises ModelFileError in one sentence for a file that is missing, damaged or from another program.
    """
    return read_file(bundled.default() if path is None else bundled.find(path), RECOGNIZER)


def write_model(path: Path, model: AcousticArrays, *, half: bool = False) -> None:
    """Write a recognizer, all or nothing; `half` stores its weights as float16."""
    write_file(path, RECOGNIZER, model, half=half)


def longest_seconds(provenance: dict[str, Any]) -> float:
    """The longest utterance that a model was trained on, in seconds."""
    return float(provenance.get("longest_seconds", _LONGEST_SECONDS))
