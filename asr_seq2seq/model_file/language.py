"""Model files of character language models."""

from __future__ import annotations

from pathlib import Path

from asr_seq2seq import bundled
from asr_seq2seq.config import LanguageModelSettings
from asr_seq2seq.model_file.parameters import language_model_parameters
from asr_seq2seq.model_file.storage import Kind, ModelArrays, read_file, write_file

LanguageModelArrays = ModelArrays[LanguageModelSettings]
LANGUAGE_MODEL = Kind("asr_seq2seq_lm/1", LanguageModelSettings, language_model_parameters)


def read_language_model(path: str | Path) -> LanguageModelArrays:
    """Read a language model of `train-lm`; ModelFileError for a file that is none, or is damaged."""
    return read_file(bundled.find(path), LANGUAGE_MODEL)


def write_language_model(path: Path, model: LanguageModelArrays, *, half: bool = False) -> None:
    """Write a language model, all or nothing; `half` stores its weights as float16."""
    write_file(path, LANGUAGE_MODEL, model, half=half)
