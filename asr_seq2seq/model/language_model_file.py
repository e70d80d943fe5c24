"""Language models for the search in PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from asr_seq2seq import bundled
from asr_seq2seq.decoding.ngram_file import is_word_ngram
from asr_seq2seq.model.files import load_language_model
from asr_seq2seq.search.scorers import LanguageModelScorer, TextScorer
from asr_seq2seq.search.word_ngram import WordNgramScorer
from asr_seq2seq.text.tokenizer import Alphabet


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
