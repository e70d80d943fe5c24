"""Corpora of any accepted form -> a list of utterances."""

from asr_seq2seq.corpora.load import digest, load_corpora, load_corpus
from asr_seq2seq.corpora.utterance import Utterance

__all__ = ["Utterance", "digest", "load_corpora", "load_corpus"]
