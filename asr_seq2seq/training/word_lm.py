"""Making a word n-gram model of text: count, smooth, prune, and measure on text it has not seen."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.files import lock, make_folder
from asr_seq2seq.messages import message
from asr_seq2seq.model_file.word_ngrams import (
    LONGEST_WORD,
    MOST_CHARACTERS,
    HistoryLevel,
    WordNgrams,
    write_word_ngrams,
)
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.kneser_ney import Smoothed, perplexity, prune, smooth
from asr_seq2seq.training.lm import LanguageModelResult
from asr_seq2seq.training.run_folder import MODEL, make_run_folder
from asr_seq2seq.training.sentences import Sentences, read_text
from asr_seq2seq.training.spelling import spelling
from asr_seq2seq.training.word_counts import (
    Vocabulary,
    count_ngrams,
    count_words,
    last_word,
    most_frequent,
    prefix,
)
from asr_seq2seq.training_config import LanguageModelConfig


def train_word_ngrams(config: LanguageModelConfig, run: Path) -> LanguageModelResult:
    """Make a model by `config` and leave a run folder with it and the frozen recipe."""
    sentences = read_text(config.data)
    with ExitStack() as held:
        make_folder(run)
        held.enter_context(lock(run, "trained"))
        make_run_folder(run, config)
        counts = count_words(sentences.train)
        usable = {word: count for word, count in counts.items() if len(word) <= LONGEST_WORD}
        vocabulary = most_frequent(usable, config.words.vocabulary)
        smoothed, words = _smoothed(config, sentences, vocabulary)
        dev = vocabulary.stream(sentences.dev)
        per_word, dev_words = perplexity(smoothed, dev, vocabulary.boundary)
        characters = sum(len(sentence) + 1 for sentence in sentences.dev)
        unknown = float(np.mean(dev[dev != vocabulary.boundary] == vocabulary.unknown))
        ngrams = [len(smoothed.unigrams), *(len(order.keys) for order in smoothed.orders)]
        message(
            f"{words:,} words, {len(vocabulary.words):,} of {len(counts):,} different ones known; n-grams by "
            f"order {', '.join(f'{number:,}' for number in ngrams)}; dev perplexity {per_word:.1f} per word "
            f"(ends of sentences included), {unknown:.2%} of the words unknown"
        )
        provenance = {
            "trained_on": config.data.train,
            "sentences": len(sentences.train),
            "words": words,
            "ngrams": ngrams,
            "dev_word_perplexity": round(per_word, 3),
            "dev_unknown": round(unknown, 5),
            # Per character, as that of a network of characters.
            "dev_perplexity": round(math.exp(math.log(per_word) * dev_words / characters), 5),
            "date": time.strftime("%Y-%m-%d"),
            "recipe": config.provenance(),
        }
        alphabet = _alphabet(vocabulary)
        model = WordNgrams(
            vocabulary.words,
            smoothed.unigrams,
            levels(smoothed),
            spelling(_rare(counts, vocabulary, alphabet), alphabet.characters),
            alphabet,
            sentences.normalizer,
            config.words.decoding,
            provenance,
        )
        write_word_ngrams(run / MODEL, model)
    return LanguageModelResult(run / MODEL, 1, per_word)


def _smoothed(
    config: LanguageModelConfig, sentences: Sentences, vocabulary: Vocabulary
) -> tuple[Smoothed, int]:
    """The n-grams of the training text, and its length in words and ends of sentences."""
    stream = vocabulary.stream(sentences.train)
    cutoffs = config.words.cutoffs or [0]
    every = [0, *(cutoffs[min(number, len(cutoffs) - 1)] for number in range(config.words.order - 1))]
    counted = count_ngrams(stream, config.words.order, vocabulary.boundary)
    smoothed = smooth(counted, len(vocabulary), vocabulary.boundary, every)
    if config.words.prune:
        smoothed = prune(smoothed, config.words.prune, len(stream))
    return smoothed, len(stream) - 1


def _alphabet(vocabulary: Vocabulary) -> Alphabet:
    alphabet = Alphabet.from_texts(vocabulary.words)
    if len(alphabet.characters) > MOST_CHARACTERS:
        raise ConfigError(
            f"the {len(vocabulary.words):,} words have {len(alphabet.characters):,} different characters, "
            f"more than the {MOST_CHARACTERS} that word n-grams can spell; take a smaller words.vocabulary"
        )
    return alphabet


def _rare(counts: dict[str, int], vocabulary: Vocabulary, alphabet: Alphabet) -> list[str]:
    """The words that the vocabulary has no room for; where there are none, the words that it has."""
    known, characters = set(vocabulary.words), set(alphabet.characters)
    rare = [word for word in counts if word not in known and set(word) <= characters]
    return rare or list(vocabulary.words)


def levels(model: Smoothed) -> tuple[HistoryLevel, ...]:
    """The n-grams of a smoothed model as a file and a search have them."""
    result = []
    below = np.arange(len(model.unigrams), dtype=np.uint64)
    for order in model.orders:
        histories, rests = model.rests(order)
        _, counts = np.unique(prefix(order.keys), return_counts=True)
        places = np.searchsorted(below, histories)
        result.append(HistoryLevel(places, counts, last_word(order.keys), order.shares, rests))
        below = order.keys
    return tuple(result)
