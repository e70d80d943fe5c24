"""Making a word n-gram model of text: count, smooth, prune."""

from __future__ import annotations

import numpy as np

from asr_seq2seq.model_file.word_ngrams import HistoryLevel
from asr_seq2seq.training.kneser_ney import Smoothed
from asr_seq2seq.training.word_counts import last_word, prefix


def levels(model: Smoothed) -> tuple[HistoryLevel, ...]:
    """The n-grams of a smoothed model as a file and a search have them."""
    result = []
    below = np.arange(len(model.unigrams), dtype=np.uint64)
    for order in model.orders:
        histories, rests = model.rests(order)
        _, counts = np.unique(prefix(order.keys), return_counts=True)
        result.append(
            HistoryLevel(
                np.searchsorted(below, histories), counts, last_word(order.keys), order.shares, rests
            )
        )
        below = order.keys
    return tuple(result)
