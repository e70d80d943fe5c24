import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from asr_seq2seq.config import LanguageModelDecoding
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.inference.loading import load_text_scorer
from asr_seq2seq.model.files import save_language_model
from asr_seq2seq.model_file.language import read_language_model
from asr_seq2seq.model_file.word_ngrams import (
    HistoryLevel,
    WordNgrams,
    read_word_ngrams,
    write_word_ngrams,
)
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def model() -> WordNgrams:
    pairs = HistoryLevel(
        histories=np.array([0, 2, 3]),
        counts=np.array([2, 1, 3]),
        words=np.array([1, 2, 0, 0, 1, 3]),
        shares=np.array([0.5, 0.2, 0.8, 0.1, 0.0, 0.3]),
        rests=np.array([0.3, 0.2, 0.6]),
    )
    triples = HistoryLevel(
        np.array([1, 4]), np.array([1, 1]), np.array([3, 1]), np.array([0.9, 0.01]), np.array([0.1, 0.99])
    )
    spelling = np.log(np.full((3, 3, 3), 1 / 3))
    unigrams = np.array([0.4, 0.3, 0.2, 0.1])
    decoding = LanguageModelDecoding(word_penalty=2.0, lm_weight=0.5, ctc_weight=0.4)
    normalizer = Normalizer.named("english-v1")
    return WordNgrams(
        ("a", "ab"), unigrams, (pairs, triples), spelling, Alphabet("ab"), normalizer, decoding, {"words": 9}
    )


@pytest.fixture
def path(tmp_path: Path, model: WordNgrams) -> Path:
    write_word_ngrams(tmp_path / "words.safetensors", model)
    return tmp_path / "words.safetensors"


def test_a_file_holds_the_model(path: Path, model: WordNgrams) -> None:
    read = read_word_ngrams(path)
    assert (read.words, read.alphabet, read.normalizer) == (model.words, model.alphabet, model.normalizer)
    assert (read.decoding, read.provenance) == (model.decoding, model.provenance)
    np.testing.assert_allclose(read.unigrams, model.unigrams, rtol=1e-6)
    np.testing.assert_allclose(read.spelling, model.spelling, rtol=1e-3)
    for ours, theirs in zip(read.levels, model.levels, strict=True):
        for name in ("histories", "counts", "words"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_allclose(ours.shares, theirs.shares, rtol=0.02)
        np.testing.assert_allclose(ours.rests, theirs.rests, rtol=0.02)
        starts = np.cumsum(ours.counts) - ours.counts
        np.testing.assert_allclose(np.add.reduceat(ours.shares, starts) + ours.rests, 1.0)


def test_what_suits_the_model_goes_into_a_search(path: Path) -> None:
    scorer = load_text_scorer(path, Alphabet(" ab"))
    assert scorer.suits == {"lm_weight": 0.5, "ctc_weight": 0.4}


def test_another_kind_of_language_model_is_named(
    path: Path, make_language_model: Callable[..., Any], tmp_path: Path
) -> None:
    save_language_model(tmp_path / "characters.safetensors", make_language_model(" ab"))
    with pytest.raises(ModelFileError, match="holds a language model of words, not a language model"):
        read_language_model(path)
    with pytest.raises(ModelFileError, match="holds a language model, not a language model of words"):
        read_word_ngrams(tmp_path / "characters.safetensors")


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def to(arrays: Arrays) -> None:
        arrays[name] = change(arrays[name])

    return to


DAMAGES: list[tuple[str, Callable[[Arrays], Any]]] = [
    ("words", changed("words", lambda a: np.frombuffer(b"ab\na", np.uint8))),  # not sorted
    ("words", changed("words", lambda a: np.frombuffer(b"a\na", np.uint8))),
    ("words", changed("words", lambda a: np.frombuffer(b"a\nxy", np.uint8))),  # not of the alphabet
    ("words", changed("words", lambda a: np.frombuffer(b"a\n", np.uint8))),
    ("UTF-8", changed("words", lambda a: np.frombuffer(b"a\n\xff", np.uint8))),
    ("unigrams", changed("words", lambda a: np.frombuffer(b"a\nab\nb", np.uint8))),  # one more
    ("unigrams", changed("unigrams", lambda a: a * np.nan)),
    ("unigrams", changed("unigrams", lambda a: -a)),
    ("unigrams", changed("unigrams", lambda a: a * 0)),
    ("unigrams", changed("unigrams", lambda a: a.astype(np.float64))),
    ("is_history", changed("2.is_history", lambda a: a[:0])),
    ("counts", changed("2.is_history", lambda a: a | 255)),  # more histories than counts
    ("2.words", changed("2.counts", lambda a: a * 0)),
    ("2.words", changed("2.counts", lambda a: a + 1)),
    ("2.words", changed("2.words", lambda a: a[::-1].copy())),
    ("2.words", changed("2.words", lambda a: a + 4)),  # no such word
    ("2.shares", changed("2.shares.steps", lambda a: a + np.inf)),
    ("2.shares", changed("2.shares.steps", lambda a: a[:9])),
    ("2.rests", changed("2.rests.steps", lambda a: a * -1)),
    ("3.is_history", lambda arrays: arrays.pop("3.is_history")),
    ("spelling", changed("spelling", lambda a: a + 2)),
    ("spelling", changed("spelling", lambda a: a[:2])),
    ("more", lambda arrays: arrays.update(more=np.zeros(1))),
]


@pytest.mark.parametrize(("word", "damage"), DAMAGES)
def test_a_damaged_file_is_refused_in_a_sentence(
    path: Path, word: str, damage: Callable[[Arrays], Any]
) -> None:
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    damage(arrays)
    save_file(arrays, path, metadata)
    with pytest.raises(ModelFileError, match=word) as caught:
        read_word_ngrams(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) - len(str(path)) < 250


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"config": {"orders": 7, "decoding": {}}}, "orders"),
        ({"config": {"orders": 3, "decoding": {"lm_weight": -1}}}, "lm_weight"),
        ({"config": {"decoding": {}}}, "orders"),
        ({"alphabet": ["a"]}, "words"),
        ({"alphabet": []}, "alphabet"),
        ({"normalizer": "klingon"}, "normalizer"),
        ({"format": "asr_seq2seq_words/9"}, "format"),
        ({"provenance": {"dev_perplexity": -1}}, "dev_perplexity"),
    ],
)
def test_a_false_description_is_refused_in_a_sentence(path: Path, change: Arrays, word: str) -> None:
    with safe_open(path, "numpy") as file:
        described = json.loads(file.metadata()["asr_seq2seq"])
    save_file(load_file(path), path, {"asr_seq2seq": json.dumps(described | change)})
    with pytest.raises(ModelFileError, match=word):
        read_word_ngrams(path)


def test_a_file_that_is_cut_short(path: Path) -> None:
    content = path.read_bytes()
    for size in (4, 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            load_text_scorer(path, Alphabet(" ab"))
