"""From an encoded utterance to its most likely texts."""

from asr_seq2seq.search.beam import search
from asr_seq2seq.search.hypothesis import Hypothesis

__all__ = ["Hypothesis", "search"]
