"""Corpora of any accepted form -> one lhotse CutSet of utterances."""

from asr_seq2seq.corpora.load import digest, load_corpora, load_corpus

__all__ = ["digest", "load_corpora", "load_corpus"]
