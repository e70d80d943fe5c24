"""Word n-gram language models in a search that spells: scored where a word ends, by kenlm."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_seq2seq.decoding.ngram_file import checked
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.search.scorers import precise
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, Alphabet


@dataclass(frozen=True)
class WordNgramState:
    """Per hypothesis: kenlm's state before the open word and that word so far; and its scores (B, K, V)."""

    words: list[list[tuple[Any, str]]]
    scores: Tensor


class WordNgramScorer:
    """log p(text) by a word n-gram model (Heafield 2011); a word counts once a space or END closes it.

    Its vocabulary must be spelled as the recognizer spells. kenlm scores one word of one hypothesis
    at a time, on the CPU.
    """

    def __init__(self, path: Path, alphabet: Alphabet, device: torch.device | str = "cpu") -> None:
        """`alphabet` is the decoder's. ModelFileError if `path` or kenlm is missing, or it is damaged."""
        try:
            import kenlm
        except ModuleNotFoundError:
            raise ModelFileError(
                f"{path}: word n-gram models need kenlm; install it with pip install 'asr_seq2seq[kenlm]'"
            ) from None
        self.alphabet = alphabet
        self.cost = 0.0  # an n-gram file does not tell
        self.device = torch.device(device)
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
        return self._score([[(state, "")]] * batch, [[0.0]] * batch)

    def scores(self, state: WordNgramState) -> Tensor:
        """(B, K, V): log p of the closed words; at END, of the whole text."""
        return state.scores

    def advance(self, state: WordNgramState, parents: Tensor, tokens: Tensor) -> WordNgramState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        vocabulary = state.scores.shape[2]
        text = state.scores.flatten(1).gather(1, parents * vocabulary + tokens)
        words = [
            [self._add(row[parent], token) for parent, token in zip(of_parents, of_tokens, strict=True)]
            for row, of_parents, of_tokens in zip(state.words, parents.tolist(), tokens.tolist(), strict=True)
        ]
        return self._score(words, text.tolist())

    def keep(self, state: WordNgramState, utterances: Tensor) -> tuple[WordNgramScorer, WordNgramState]:
        """The scorer itself, and the state of these utterances, (B',), alone."""
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

    def _score(self, words: list[list[tuple[Any, str]]], text: list[list[float]]) -> WordNgramState:
        scores = torch.tensor(text, dtype=precise(self.device))[..., None].repeat(1, 1, len(self.alphabet))
        for row, hypotheses in enumerate(words):
            for column, (before, word) in enumerate(hypotheses):
                closed, after = self._close(before, word)
                scores[row, column, self.space] += closed
                scores[row, column, END] += closed + self._close(after, "</s>")[0]
        return WordNgramState(words, scores.to(self.device))
