import lzma
import math
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.inference.loading import load_text_scorer
from asr_seq2seq.model_file.word_ngrams import read_word_ngrams
from asr_seq2seq.recipes import load_language_model_config
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import END, Alphabet
from asr_seq2seq.training.kneser_ney import perplexity, smooth
from asr_seq2seq.training.sentences import read_sentences, read_text
from asr_seq2seq.training.word_counts import count_ngrams, count_words, most_frequent
from asr_seq2seq.training.word_lm import train_word_ngrams
from asr_seq2seq.training_config import LanguageModelConfig, validate_language_model

LINES = [
    "It's the cat, on the mat!",
    "the dog is on the mat",
    "the cat is on the dog",
    "a dog sees a cat",
    "zebra",
] * 3
DEV = ["the cat sees the dog", "the zebu is on the mat"]


@pytest.fixture
def config(tmp_path: Path) -> LanguageModelConfig:
    (tmp_path / "text.txt.xz").write_bytes(lzma.compress("\n".join(LINES).encode()))
    (tmp_path / "dev.txt").write_text("\n".join(DEV))
    data = {"train": str(tmp_path / "text.txt.xz"), "dev": str(tmp_path / "dev.txt")}
    words = {"vocabulary": 9, "cutoffs": [0], "decoding": {"word_penalty": 1.5, "lm_weight": 0.4}}
    return validate_language_model({"kind": "words", "data": data, "words": words}, "the recipe")


def test_a_run_leaves_a_model_that_scores_as_it_was_smoothed(
    config: LanguageModelConfig, tmp_path: Path
) -> None:
    result = train_word_ngrams(config, tmp_path / "run")
    assert load_language_model_config(tmp_path / "run" / "config.yaml") == config
    model = read_word_ngrams(result.model)
    assert model.words == ("a", "cat", "dog", "is", "it's", "mat", "on", "sees", "the")
    assert model.provenance["dev_word_perplexity"] == pytest.approx(result.dev_perplexity, rel=1e-4)
    assert model.provenance["dev_unknown"] == pytest.approx(1 / 11, abs=1e-4)

    train = read_text(config.data).train
    vocabulary = most_frequent(count_words(train), 9)
    counted = count_ngrams(vocabulary.stream(train), 3, vocabulary.boundary)
    smoothed = smooth(counted, len(vocabulary), vocabulary.boundary, [0] * 3)
    alphabet = Alphabet(" " + model.alphabet.characters)
    scorer = load_text_scorer(result.model, alphabet)
    assert scorer.suits == {"lm_weight": 0.4}
    for text in ("the cat is on the mat", "it's a dog"):
        state = scorer.start(1)
        for token in alphabet.encode(text):
            state = scorer.advance(state, np.array([[0]]), np.array([[token]]))
        found, count = perplexity(smoothed, vocabulary.stream([text]), vocabulary.boundary)
        score = float(scorer.scores(state)[0, 0, END])
        # The penalty for each word; and shares are stored in 8 bits.
        assert score == pytest.approx(-count * math.log(found) - 1.5 * (count - 1), abs=0.2)


def test_a_folder_with_a_run_stays(config: LanguageModelConfig, tmp_path: Path) -> None:
    train_word_ngrams(config, tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a run already"):
        train_word_ngrams(config, tmp_path / "run")


def test_compressed_text_is_read_and_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.xz"
    path.write_bytes(lzma.compress(b"One, two.\n\nThree"))
    normalizer = Normalizer.named("english-v1")
    assert read_sentences([str(path)], normalizer) == ["one two", "three"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorpusError, match="damaged or cut short"):
        read_sentences([str(path)], normalizer)
    path.write_bytes(b"no archive")
    with pytest.raises(CorpusError, match="damaged or cut short"):
        read_sentences([str(path)], normalizer)


@pytest.mark.parametrize("words", [{"cutoffs": [100]}, {"prune": 1.0}, {"order": 4, "cutoffs": [0, 100]}])
def test_orders_of_which_nothing_is_left_are_searched_with(
    config: LanguageModelConfig, words: dict[str, object], tmp_path: Path
) -> None:
    changed = config.model_copy(update={"words": config.words.model_copy(update=words)})
    result = train_word_ngrams(changed, tmp_path / "run")
    alphabet = Alphabet(" abcdefghijklmnopqrstuvwxyz")
    scorer = load_text_scorer(result.model, alphabet)
    state = scorer.start(1)
    for token in alphabet.encode("the"):
        state = scorer.advance(state, np.array([[0]]), np.array([[token]]))
    assert np.isfinite(scorer.scores(state)[0, 0, END])
