"""Scores that join the decoder's in a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from asr_seq2seq.features import length_mask
from asr_seq2seq.model.language_model import LanguageModel, LanguageModelState
from asr_seq2seq.text import END, FIRST_CHARACTER, PADDING, START, Alphabet

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
    """Per hypothesis: log-probability of all alignments of its text that end at each frame.

    `label` (B, K, T) ends in the last character, `blank` (B, K, T) in a blank; `last` (B, K) is the
    last character, PADDING where there is none yet.
    """

    label: Tensor
    blank: Tensor
    last: Tensor


def precise(device: torch.device) -> torch.dtype:
    """The type that scores are summed in: float64, which only Apple's MPS lacks."""
    return torch.float32 if device.type == "mps" else torch.float64


class CtcPrefixScorer:
    """log p(text begins with this prefix | x) by CTC (Watanabe et al. 2017, section II-C, algorithm 2).

    The recursion over frames is linear: with X the running sum of log p(character), the forward
    variable is X_t + logcumsumexp_t(phi_t - X_{t-1}), so no loop over time is needed; and the score
    of every possible next character is one batched matrix product of exp(phi) with the frame
    probabilities. All in float64 where there is one, so that the running sums keep their precision.
    """

    def __init__(self, log_probabilities: Tensor, lengths: Tensor) -> None:
        """The CTC head's log-probabilities (B, T, V) and true lengths (B,)."""
        self.log_p = log_probabilities.to(precise(log_probabilities.device))
        self.mask = length_mask(lengths, self.log_p.shape[1])  # (B, T)
        self.p = self.log_p.exp() * self.mask[..., None]
        self.sums = self.log_p.cumsum(1)  # (B, T, V)
        self.ends = lengths - 1

    def start(self) -> CtcState:
        """The empty text, K = 1."""
        blank = self.sums[:, None, :, PADDING]  # (B, 1, T)
        last = torch.full_like(blank[..., 0], PADDING, dtype=torch.long)
        return CtcState(torch.full_like(blank, IMPOSSIBLE), blank, last)

    def scores(self, state: CtcState) -> Tensor:
        """(B, K, V): the prefix score of each continuation; at END, the score of the text as it is."""
        psi = self._sum_over_frames(self._arrivals(state, repeated=False), self.p)  # (B, K, V)
        own = self.p.gather(2, state.last[:, None].expand(-1, self.p.shape[1], -1))  # (B, T, K)
        again = self._sum_over_frames(
            self._arrivals(state, repeated=True)[:, :, None], own.transpose(1, 2)[..., None]
        )  # (B, K, 1, 1)
        psi = psi.scatter(2, state.last[..., None], again[..., 0])
        psi[..., END] = self._whole(state)
        return psi

    def advance(self, state: CtcState, parents: Tensor, tokens: Tensor) -> CtcState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        rows = parents[..., None].expand(-1, -1, state.label.shape[2])
        parent = CtcState(
            state.label.gather(1, rows), state.blank.gather(1, rows), state.last.gather(1, parents)
        )
        fresh = self._arrivals(parent, repeated=False)
        arrivals = torch.where(
            (tokens == parent.last)[..., None], self._arrivals(parent, repeated=True), fresh
        )
        columns = tokens[:, None].expand(-1, self.sums.shape[1], -1)
        label = self._recur(arrivals, self.sums.gather(2, columns).transpose(1, 2))
        before = torch.cat((torch.full_like(label[..., :1], IMPOSSIBLE), label[..., :-1]), dim=2)
        blank = self._recur(before, self.sums[:, None, :, PADDING])
        return CtcState(label, blank, tokens)

    def _arrivals(self, state: CtcState, repeated: bool) -> Tensor:
        """phi (B, K, T): log-probability of being at the end of the prefix just before each frame.

        A character that repeats the last one must come after a blank.
        """
        at = state.blank if repeated else torch.logaddexp(state.blank, state.label)
        first = torch.where(state.last == PADDING, 0.0, IMPOSSIBLE).to(at.dtype)
        return torch.cat((first[..., None], at[..., :-1]), dim=2)

    def _sum_over_frames(self, arrivals: Tensor, p: Tensor) -> Tensor:
        """log sum_t exp(arrivals[..., t]) p[..., t, :], never below IMPOSSIBLE."""
        mask = self.mask.view(len(self.mask), *[1] * (arrivals.dim() - 2), -1)
        arrivals = arrivals.masked_fill(~mask, IMPOSSIBLE)
        top = arrivals.amax(-1, keepdim=True)
        return ((arrivals - top).exp() @ p).log().add(top).clamp_min(IMPOSSIBLE)

    def _recur(self, arrivals: Tensor, sums: Tensor) -> Tensor:
        """a_t = logaddexp(a_{t-1}, arrivals_t) + log p_t for all t at once; sums are those of log p."""
        before = torch.cat((torch.zeros_like(sums[..., :1]), sums[..., :-1]), dim=-1)
        return (sums + torch.logcumsumexp(arrivals - before, dim=-1)).clamp_min(IMPOSSIBLE)

    def _whole(self, state: CtcState) -> Tensor:
        """log p(text | x), all alignments to the last real frame: (B, K)."""
        index = self.ends[:, None, None].expand(-1, state.label.shape[1], 1)
        return torch.logaddexp(state.label.gather(2, index), state.blank.gather(2, index))[..., 0]


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

    def _after(self, tokens: Tensor, text: Tensor, before: LanguageModelState) -> LanguageModelScores:
        log_p, after = self.model.step(self.ids[tokens].flatten(), before)
        return LanguageModelScores(text, log_p.to(text.dtype)[:, self.ids].view(*tokens.shape, -1), after)
