"""Sequence-to-sequence speech recognition: small enough to read, fast enough to ship.

>>> from asr_seq2seq import Recognizer                      # doctest: +SKIP
>>> Recognizer.load().transcribe("digits.flac").text        # doctest: +SKIP
'one two three'
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as `typing` has it, which takes time to import when a command has to start
if TYPE_CHECKING:
    from typing import Any

    from asr_seq2seq.corpora import load_corpus as load_corpus
    from asr_seq2seq.errors import AsrError as AsrError
    from asr_seq2seq.evaluation.evaluate import evaluate as evaluate
    from asr_seq2seq.inference.recognizer import Recognizer as Recognizer
    from asr_seq2seq.model.files import ModelFile as ModelFile
    from asr_seq2seq.model.files import load_model as load_model
    from asr_seq2seq.recipes import load_config as load_config
    from asr_seq2seq.training.fit import train as train
    from asr_seq2seq.transcript import Segment as Segment
    from asr_seq2seq.transcript import Transcript as Transcript
    from asr_seq2seq.transcript import Word as Word

# onnxruntime would tell its maker of its use, and leave files in the temporary and the cache folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_HOME = {
    "AsrError": "errors",
    "ModelFile": "model.files",
    "Recognizer": "inference.recognizer",
    "Segment": "transcript",
    "Transcript": "transcript",
    "Word": "transcript",
    "evaluate": "evaluation.evaluate",
    "load_config": "recipes",
    "load_corpus": "corpora",
    "load_model": "model.files",
    "train": "training.fit",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name on its first use: importing the package alone must not load torch."""
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
