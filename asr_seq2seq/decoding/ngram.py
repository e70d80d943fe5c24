"""Word n-gram language models in a search that spells: scored where a word ends, by kenlm."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr_seq2seq.decoding.ngram_file import checked
from asr_seq2seq.decoding.scorers import Float64
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.extras import needed
from asr_seq2seq.runtime.protocol import Integers
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, Alphabet


@dataclass(frozen=True)
class WordNgramState:
    """Per hypothesis: kenlm's state before the open word and that word so far; and its scores (B, K, V)."""

    words: list[list[tuple[Any, str]]]
    scores: Float64


class WordNgramScorer:
    """log p(text) by a word n-gram model (Heafield 2011); a word counts once a space or END closes it.

    Its vocabulary must be spelled as the recognizer spells. kenlm scores one word of one hypothesis
    at a time.
    """

    def __init__(self, path: Path, alphabet: Alphabet) -> None:
        """`alphabet` is the decoder's. ModelFileError where `path` is missing or damaged."""
        with needed(f"{path}: a word n-gram model", "kenlm"):
            import kenlm
        self.alphabet = alphabet
        self.cost = 0.0  # an n-gram file does not tell
        self.suits: Mapping[str, float] = {}
        self.space = alphabet.space
        self.new_state = kenlm.State
        settings = kenlm.Config()
        settings.show_progress = False
        settings.arpa_complain = kenlm.ARPALoadComplain.NONE
        with checked(path) as plain:
            try:
                self.model = kenlm.Model(str(plain), settings)
            except (OSError, RuntimeError, MemoryError, UnicodeDecodeError):
                raise ModelFileError(
                    f"{path}: cannot be read as a word n-gram model of up to 6 words; make it again, as an "
                    "ARPA file or with this computer's kenlm"
                ) from None

    def start(self, batch: int) -> WordNgramState:
        """The empty text, K = 1."""
        state = self.new_state()
        self.model.BeginSentenceWrite(state)
        return self._score([[(state, "")]] * batch, np.zeros((batch, 1)))

    def scores(self, state: WordNgramState) -> Float64:
        """(B, K, V): log p of the closed words; at END, of the whole text."""
        return state.scores

    def advance(self, state: WordNgramState, parents: Integers, tokens: Integers) -> WordNgramState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        text = state.scores[np.arange(len(parents))[:, None], parents, tokens]
        words = [
            [self._add(row[parent], token) for parent, token in zip(of_parents, of_tokens, strict=True)]
            for row, of_parents, of_tokens in zip(state.words, parents.tolist(), tokens.tolist(), strict=True)
        ]
        return self._score(words, text)

    def keep(self, state: WordNgramState, utterances: Integers) -> tuple[WordNgramScorer, WordNgramState]:
        """The scorer itself, and the state of only these utterances, (B',)."""
        words = [state.words[utterance] for utterance in utterances.tolist()]
        return self, WordNgramState(words, state.scores[utterances])

    def _add(self, hypothesis: tuple[Any, str], token: int) -> tuple[Any, str]:
        before, word = hypothesis
        if token == self.space:
            return self._close(before, word)[1], ""
        return before, word + self.alphabet.decode([token]) if token >= FIRST_CHARACTER else word

    def _close(self, before: Any, word: str) -> tuple[float, Any]:
        """log p(word), 0 for none, and kenlm's state after it."""
        if not word:
            return 0.0, before
        after = self.new_state()
        log10_p = self.model.BaseScore(before, unicodedata.normalize("NFC", word), after)
        return math.log(10) * log10_p, after

    def _score(self, words: list[list[tuple[Any, str]]], text: Float64) -> WordNgramState:
        scores = np.repeat(text[..., None], len(self.alphabet), axis=2)
        for row, hypotheses in enumerate(words):
            for column, (before, word) in enumerate(hypotheses):
                closed, after = self._close(before, word)
                scores[row, column, self.space] += closed
                scores[row, column, END] += closed + self._close(after, "</s>")[0]
        return WordNgramState(words, scores)
