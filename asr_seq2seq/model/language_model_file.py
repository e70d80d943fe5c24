"""Language models on disk: our own in one `.safetensors` file, and word n-gram models for kenlm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr_seq2seq import bundled
from asr_seq2seq.config import LanguageModelConfig
from asr_seq2seq.decoding.ngram_file import is_word_ngram
from asr_seq2seq.model.files import build_network, write_file
from asr_seq2seq.model.language_model import LanguageModel
from asr_seq2seq.model_file.arrays import LANGUAGE_MODEL_FORMAT, read_language_model
from asr_seq2seq.search.scorers import LanguageModelScorer, TextScorer
from asr_seq2seq.search.word_ngram import WordNgramScorer
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet


@dataclass(frozen=True)
class LanguageModelFile:
    """A language model in memory, in evaluation mode, and all that is needed to use it."""

    model: LanguageModel
    config: LanguageModelConfig
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)


def save_language_model(path: Path, language_model: LanguageModelFile, *, half: bool = False) -> None:
    """Write `path`, all or nothing; `half` stores the weights as float16, half the size."""
    lm = language_model
    write_file(
        path,
        LANGUAGE_MODEL_FORMAT,
        lm.model,
        lm.config,
        lm.alphabet,
        lm.normalizer,
        lm.provenance,
        half=half,
    )


def load_language_model(path: str | Path, device: torch.device | str = "cpu") -> LanguageModelFile:
    """Read a language model; ModelFileError in one sentence for a file that is none, or is damaged."""
    arrays = read_language_model(path)
    model = build_network(arrays, LanguageModel, device)
    return LanguageModelFile(model, arrays.config, arrays.alphabet, arrays.normalizer, arrays.provenance)


def load_text_scorer(path: Path, alphabet: Alphabet, device: torch.device | str = "cpu") -> TextScorer:
    """What a search with a recognizer of this alphabet needs of the language model in `path`.

    A word n-gram model, an ARPA file or a binary one of kenlm, is known by its content, or by its name;
    any other file is one of ours, or one that is bundled.
    """
    path = bundled.find(path)
    if is_word_ngram(path):
        return WordNgramScorer(path, alphabet, device)
    own = load_language_model(path, device)
    perplexity = own.provenance.get("dev_perplexity", 1.0)
    return LanguageModelScorer(own.model, own.alphabet, alphabet, math.log(max(1.0, float(perplexity))))
