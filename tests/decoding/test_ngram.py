import base64
import bz2
import gzip
import lzma
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_seq2seq.decoding.ngram import WordNgramScorer
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.inference.loading import load_text_scorer
from asr_seq2seq.text.tokenizer import END, Alphabet

kenlm = pytest.importorskip("kenlm")

Make = Callable[..., Any]
SPELLED = Alphabet(" abc")
ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.4
-0.8\t</s>
-0.6\ta\t-0.2
-0.7\tb\t-0.1
-0.9\tab\t-0.3

\\2-grams:
-0.3\t<s> a
-0.4\ta ab
-0.2\tab b
-0.5\tb </s>

\\end\\
"""

# What `build_binary` of kenlm makes of it: a probing model.
BINARY = zlib.decompress(
    base64.b64decode(
        "eNrLzU0sUMjJVcgoKSmw0tfPzkhNTMtMzUnRS87P1U/OT0lVSMsvyk0sUShLLSrOzM9TMOViQIAGeyCxnxFI/AcCkAgjVIYJ"
        "TB6wRxZjg9IsDKgAJC6YnX35krg4OzMDcYAr5/vH2uIH2SB7flwM/repdV8SK5BdUKe417KtFGynuZbWpNo/3a9YMHQf2A9y"
        "PAPDsUNnz5zZd/aMD8idDbNmStoD2fuMjY2B9Jm9aWlp9rNmztwH02WXcEd1QWyqAkhNY9HbD7XVNa0g+db3dWs5RML7QGbh"
        "cq9mm/mFPYeaFUDhZVOal23HYFMMxPpAIpEhiSExiQEA1/Bfyg=="
    )
)


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "words.arpa"
    path.write_text(ARPA)
    return path


def score(arpa: Path, text: str, end: bool = True) -> float:
    """log p of a text, or of how it begins, by kenlm itself."""
    return float(kenlm.Model(str(arpa)).score(" ".join(text.split()), eos=end)) * math.log(10)


@pytest.mark.parametrize("text", ["", "a", "a ab b", "ca ab", "b c b", " a  ab ", "aab"])
def test_words_are_scored_where_they_end(arpa: Path, text: str) -> None:
    scorer = WordNgramScorer(arpa, SPELLED)
    space, letter = SPELLED.encode(" b")
    state = scorer.start(1)
    for length in range(len(text) + 1):
        closed = text[: text.rfind(" ", 0, length) + 1]
        scores = scorer.scores(state)[0, 0]
        assert float(scores[letter]) == pytest.approx(score(arpa, closed, end=False), abs=1e-5)
        assert float(scores[space]) == pytest.approx(score(arpa, text[:length], end=False), abs=1e-5)
        assert float(scores[END]) == pytest.approx(score(arpa, text[:length]), abs=1e-5)
        for character in text[length : length + 1]:
            state = scorer.advance(state, np.array([[0]]), np.array([SPELLED.encode(character)]))


def test_hypotheses_advance_from_the_parents_they_name(arpa: Path) -> None:
    scorer = WordNgramScorer(arpa, SPELLED)
    a, b = SPELLED.encode("ab")
    state = scorer.advance(scorer.start(2), np.zeros((2, 2), int), np.array([[a, b]] * 2))
    state = scorer.advance(state, np.array([[1, 0], [0, 0]]), np.array([[b, b], [a, b]]))
    ends = scorer.scores(state)[..., END]
    expected = [[score(arpa, text) for text in row] for row in (("bb", "ab"), ("aa", "ab"))]
    np.testing.assert_allclose(ends, expected, rtol=0, atol=1e-5)


def test_some_utterances_alone(arpa: Path) -> None:
    scorer = WordNgramScorer(arpa, SPELLED)
    state = scorer.advance(scorer.start(3), np.zeros((3, 1), int), np.array([[4], [5], [6]]))
    same, kept = scorer.keep(state, np.array([0, 2]))
    assert same is scorer and kept.words == [state.words[0], state.words[2]]
    assert np.array_equal(kept.scores, state.scores[[0, 2]])


def test_a_search_with_word_ngrams_sums_its_parts(arpa: Path, make_case: Make, make_sounds: Make) -> None:
    scorer = WordNgramScorer(arpa, SPELLED)
    options = DecodingOptions(ctc_weight=0.4, lm_weight=0.6, length_reward=2.5)
    spaces = 0
    for seed in range(4):
        case = make_case(None, make_sounds(2400, 900, 1), vocabulary=len(SPELLED), seed=seed, scale=3.0)
        together = case.search(options, scorer)
        for hypotheses, alone in zip(together, case.alone(options, scorer), strict=True):
            for one in hypotheses:
                text = SPELLED.decode(one.tokens)
                spaces += " " in text.strip()
                assert one.lm == pytest.approx(score(arpa, text), abs=1e-4)
                parts = 0.6 * one.decoder + 0.4 * one.ctc + 0.6 * one.lm + 2.5 * one.length
                assert one.score == pytest.approx(parts)
            assert [one.tokens for one in alone] == [one.tokens for one in hypotheses]
    assert spaces  # otherwise no text had two words


def test_a_recognizer_of_single_words_has_no_space(arpa: Path) -> None:
    scorer = WordNgramScorer(arpa, Alphabet("ab"))
    state = scorer.advance(scorer.start(1), np.array([[0]]), np.array([[4]]))
    assert float(scorer.scores(state)[0, 0, END]) == pytest.approx(score(arpa, "a"), abs=1e-5)


@pytest.mark.parametrize(
    ("pack", "ending"), [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (lzma.compress, ".xz")]
)
def test_compressed_files_score_as_what_they_hold(tmp_path: Path, arpa: Path, pack: Any, ending: str) -> None:
    path = tmp_path / f"3-gram.arpa{ending}"
    path.write_bytes(pack(arpa.read_bytes()))
    ours, theirs = (load_text_scorer(one, SPELLED) for one in (path, arpa))
    assert np.array_equal(ours.start(1).scores, theirs.start(1).scores)
    assert isinstance(ours, WordNgramScorer)


def test_a_binary_file_scores_as_the_text_that_it_was_built_of(tmp_path: Path, arpa: Path) -> None:
    path = tmp_path / "lm.binary"
    path.write_bytes(BINARY)
    ours, theirs = (load_text_scorer(one, SPELLED) for one in (path, arpa))
    for scorer in (ours, theirs):
        assert isinstance(scorer, WordNgramScorer)
    state = [scorer.advance(scorer.start(1), np.array([[0]]), np.array([[5]])) for scorer in (ours, theirs)]
    assert np.array_equal(state[0].scores, state[1].scores)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (144, struct.pack("<I", 1 << 24)),  # the number of a word, which is followed without a check
        (300, struct.pack("<QI", 1, 0) * 6),  # a table without an empty entry, which is searched for ever
        (108, struct.pack("<Q", 20)),  # the count of words
        (92, struct.pack("<f", 90.0)),  # the size of tables
    ],
)
def test_a_binary_file_that_kenlm_would_follow_astray(tmp_path: Path, place: int, value: bytes) -> None:
    path = tmp_path / "lm.binary"
    path.write_bytes(BINARY[:place] + value + BINARY[place + len(value) :])
    with pytest.raises(ModelFileError, match=r"lm\.binary: is a binary file of kenlm, but damaged"):
        WordNgramScorer(path, SPELLED)


def test_files_that_are_no_language_models(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.arpa: no such language model"):
        WordNgramScorer(tmp_path / "none.arpa", SPELLED)
    (tmp_path / "text.arpa").write_text("no ARPA file")
    with pytest.raises(ModelFileError, match=r"text\.arpa: cannot be read"):
        WordNgramScorer(tmp_path / "text.arpa", SPELLED)
    (tmp_path / "many.arpa").write_text(
        ARPA.replace("\\end\\", "".join(f"\n\\{n}-grams:\n" for n in range(3, 9))).replace(
            "ngram 2=4\n", "ngram 2=4\n" + "".join(f"ngram {n}=0\n" for n in range(3, 9))
        )
    )
    with pytest.raises(ModelFileError, match=r"many\.arpa: cannot be read"):
        WordNgramScorer(tmp_path / "many.arpa", SPELLED)
