"""Scores that join the decoder's in a search."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from asr_seq2seq.model.decoder import hypotheses_of
from asr_seq2seq.model.features import length_mask
from asr_seq2seq.model.language_model import LanguageModel, LanguageModelState
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, PADDING, START, Alphabet

# Stands for the logarithm of zero. Finite, so that hypotheses CTC rules out still compare by the decoder.
IMPOSSIBLE = -1e10


class Scorer(Protocol):
    """What joins a search beside the decoder: log-probabilities that never rise as a text grows."""

    def scores(self, state: Any) -> Tensor:
        """(B, K, V): the log-probability of each hypothesis with each symbol added; END completes it."""
        ...

    def advance(self, state: Any, parents: Tensor, tokens: Tensor) -> Any:
        """The state of hypotheses (B, K'): parent row within the utterance, and the character added."""
        ...

    def keep(self, state: Any, utterances: Tensor) -> tuple[Scorer, Any]:
        """A scorer, and the state, of these utterances, (B',), alone."""
        ...


class TextScorer(Scorer, Protocol):
    """A scorer that hears no sound, so that one serves every batch.

    `cost` is what a character costs on average, -log p, on text it had not seen; 0 where not known.
    """

    cost: float

    def start(self, batch: int) -> Any:
        """The empty text, K = 1, of each utterance."""
        ...


@dataclass(frozen=True)
class CtcState:
    """Per hypothesis: log-probability that the first t frames are an alignment of its text, t = 0 .. T.

    `forward` (2, B, K, T + 1) counts all alignments, and those that end in a blank or hold no character;
    `last` (B, K) is the last character, PADDING where there is none yet.
    """

    forward: Tensor
    last: Tensor


def precise(device: torch.device) -> torch.dtype:
    """The type that scores are summed in: float64, which only Apple's MPS lacks."""
    return torch.float32 if device.type == "mps" else torch.float64


class CtcPrefixScorer:
    """log p(text begins with this prefix | x) by CTC (Watanabe et al. 2017, section II-C, algorithm 2).

    The recursion over frames is linear: with X the running sum of log p(character), the forward
    variable is X_t + logcumsumexp_t(phi_t - X_{t-1}), so no loop over time is needed; and the score
    of every possible next character is one batched matrix product of exp(phi) with the frame
    probabilities. A character can follow any alignment of the text before it, but one that repeats the last
    character must come after a blank. All in float64 where there is one, so that the running sums keep
    their precision.
    """

    def __init__(self, log_probabilities: Tensor, lengths: Tensor) -> None:
        """The CTC head's log-probabilities (B, T, V) and true lengths (B,)."""
        self.log_p = log_probabilities.to(precise(log_probabilities.device))
        mask = length_mask(lengths, self.log_p.shape[1])  # (B, T)
        self.p = self.log_p.exp() * mask[..., None]
        self.padding = torch.where(mask, 0.0, IMPOSSIBLE).to(self.log_p.dtype)[:, None]  # (B, 1, T)
        sums = functional.pad(self.log_p, (0, 0, 1, 0)).cumsum(1)  # (B, T + 1, V)
        self.sums = sums.transpose(1, 2).flatten(0, 1).contiguous()  # (B * V, T + 1)
        batch, _, self.vocabulary = sums.shape
        self.first_rows = self.vocabulary * torch.arange(batch, device=sums.device)[:, None]  # (B, 1)
        self.blanks = self.sums[self.first_rows + PADDING]  # (B, 1, T + 1)
        self.lengths = lengths

    def start(self) -> CtcState:
        """The empty text, K = 1."""
        return CtcState(self.blanks.expand(2, -1, -1, -1), torch.full_like(self.first_rows, PADDING))

    def scores(self, state: CtcState) -> Tensor:
        """(B, K, V): the prefix score of each continuation; at END, the score of the text as it is."""
        count = state.last.shape[1]
        arrivals = state.forward.transpose(0, 1).flatten(1, 2)[..., :-1] + self.padding  # (B, 2 K, T)
        top = arrivals.amax(-1, keepdim=True)
        psi = ((arrivals - top).exp_() @ self.p).log_().add_(top).clamp_min_(IMPOSSIBLE)  # (B, 2 K, V)
        last, whole = state.last[..., None], self.lengths[:, None, None].expand(-1, count, 1)
        scores = psi[:, :count].scatter(2, last, psi[:, count:].gather(2, last))
        scores[..., END] = state.forward[0].gather(2, whole)[..., 0]
        return scores

    def advance(self, state: CtcState, parents: Tensor, tokens: Tensor) -> CtcState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        count = state.last.shape[1]
        rows = parents + count * torch.arange(len(parents), device=parents.device)[:, None]  # (B, K')
        # Whether after any alignment or after a blank: the place of its row in `forward`.
        place = rows + (tokens == state.last.gather(1, parents)) * (count * len(parents))
        label = self._recur(state.forward.flatten(0, 2)[place], self.sums[self.first_rows + tokens])
        blank = self._recur(label, self.blanks)
        return CtcState(torch.stack((torch.logaddexp(label, blank), blank)), tokens)

    def keep(self, state: CtcState, utterances: Tensor) -> tuple[CtcPrefixScorer, CtcState]:
        """A scorer, and the state, of these utterances, (B',), alone."""
        rest = copy(self)
        for name in ("log_p", "p", "padding", "blanks", "lengths"):
            setattr(rest, name, getattr(self, name)[utterances])
        rest.sums = self.sums[hypotheses_of(utterances, self.vocabulary)]
        rest.first_rows = self.first_rows[: len(utterances)]
        return rest, CtcState(state.forward[:, utterances], state.last[utterances])

    def _recur(self, arrivals: Tensor, sums: Tensor) -> Tensor:
        """log a, a_0 = 0 and a_{t+1} = (a_t + arrivals_t) p_{t+1} for all t; sums are those of log p."""
        after = sums[..., 1:] + torch.logcumsumexp(arrivals[..., :-1] - sums[..., :-1], dim=-1)
        return functional.pad(after, (1, 0), value=IMPOSSIBLE).clamp_min_(IMPOSSIBLE)


@dataclass(frozen=True)
class LanguageModelScores:
    """Per hypothesis: log p(text) (B, K), log p(next character | text) (B, K, V), and the model's state."""

    text: Tensor
    following: Tensor
    model: LanguageModelState


class LanguageModelScorer:
    """log p(text) by a character language model with an alphabet of its own (shallow fusion).

    What its alphabet lacks scores as its unknown symbol.
    """

    def __init__(self, model: LanguageModel, own: Alphabet, alphabet: Alphabet, cost: float = 0.0) -> None:
        """`own` is the language model's alphabet, `alphabet` the one of the decoder."""
        self.model = model
        self.cost = cost
        characters = [own.encode(character)[0] for character in alphabet.characters]
        self.ids = torch.tensor([*range(FIRST_CHARACTER), *characters], device=model.output.weight.device)

    def start(self, batch: int) -> LanguageModelScores:
        """The empty text, K = 1."""
        tokens = torch.full((batch, 1), START, device=self.ids.device)
        return self._after(
            tokens, torch.zeros_like(tokens, dtype=precise(tokens.device)), self.model.start(batch)
        )

    def scores(self, state: LanguageModelScores) -> Tensor:
        """(B, K, V): log p of each continuation; at END, of the whole text."""
        return state.text[..., None] + state.following

    def advance(self, state: LanguageModelScores, parents: Tensor, tokens: Tensor) -> LanguageModelScores:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        batch, count, vocabulary = state.following.shape
        text = self.scores(state).flatten(1).gather(1, parents * vocabulary + tokens)
        rows = parents + count * torch.arange(batch, device=parents.device)[:, None]
        return self._after(tokens, text, state.model.select(rows.flatten()))

    def keep(
        self, state: LanguageModelScores, utterances: Tensor
    ) -> tuple[LanguageModelScorer, LanguageModelScores]:
        """The scorer itself, and the state of these utterances, (B',), alone."""
        rows = hypotheses_of(utterances, state.text.shape[1])
        kept = state.text[utterances], state.following[utterances], state.model.select(rows)
        return self, LanguageModelScores(*kept)

    def _after(self, tokens: Tensor, text: Tensor, before: LanguageModelState) -> LanguageModelScores:
        log_p, after = self.model.step(self.ids[tokens].flatten(), before)
        return LanguageModelScores(text, log_p.to(text.dtype)[:, self.ids].view(*tokens.shape, -1), after)
