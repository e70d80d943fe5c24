"""Corpora of any accepted form -> one lhotse CutSet of utterances."""

from asr_seq2seq.corpora.load import load_corpora, load_corpus

__all__ = ["load_corpora", "load_corpus"]
