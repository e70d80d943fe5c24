"""Beam search over a batch of utterances at once; greedy search is a beam of 1.

No loop runs over utterances or hypotheses. Every hypothesis ends: at the length limit, which
derives from the number of encoded frames, only the end symbol is left to choose. An utterance
stops when no unfinished hypothesis can beat its best finished text, so neither the batch it is in nor
the steps others need can change its result. Those that have stopped leave the batch when they are half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.scorers import CtcPrefixScorer, Float64, Scorer, TextScorer
from asr_seq2seq.runtime.protocol import AcousticModel, Encoded, Floats, Integers
from asr_seq2seq.text.tokenizer import END, PADDING, START, UNKNOWN

if TYPE_CHECKING:
    from asr_seq2seq.decoding.automata import Automaton, AutomatonScorer

_SHORTEST_LIMIT = 8  # characters that even the shortest sound may have
_LOOKED_AT = 0.5  # attention that a frame must have had, all steps together, to count as covered
_CHECK_EVERY = 4  # steps between two tests which utterances are done


def length_limits(lengths: Integers, tokens_per_frame: float | None) -> Integers:
    """Encoded lengths (B,) -> the largest number of characters a text may have, (B,); None means 1."""
    # In float32, where 0.1 times 30 frames is 3 characters and not a little more.
    limits = np.ceil(lengths.astype(np.float32) * np.float32(tokens_per_frame or 1.0)).astype(np.int64)
    longest: Integers = np.maximum(limits, _SHORTEST_LIMIT)
    return longest


def search(
    model: AcousticModel,
    encoded: Encoded,
    options: DecodingOptions,
    lm: TextScorer | None = None,
    automata: Sequence[Sequence[Automaton]] | None = None,
) -> list[list[Hypothesis]]:
    """The best texts of each utterance, best first, at most `n_best` or `beam_size` and at least one.

    The score of a text y is (1 - w) log p_decoder(y) + w log p_ctc(y) + v log p_lm(y) + c coverage(y)
    + reward * len(y), w the weight of CTC (Watanabe et al. 2017, section II-C), v that of a language
    model (Gulcehre et al. 2015, section 4.1), c that of the number of frames that attention has
    covered (Chorowski and Jaitly 2017); prefixes are scored alike. A language model makes every text
    pay for its length; the reward that is not set pays back what it takes on average. What the `automata` of
    each utterance add, for hot words or phrases, is added; how sure choices are leaves it out.
    """
    search = _Search(model, encoded, options, lm)
    if automata is not None and any(automata):
        search.guide(automata)
    return search.run()


@dataclass(frozen=True)
class _Step:
    """What was chosen in one step, (B, K) each, for all utterances of the batch at the beginning.

    `numbers` (2 + P, B, K): scores, how sure each choice was, and the P parts of the scores; minus infinity
    where there is no hypothesis.
    """

    parents: Integers
    tokens: Integers
    numbers: Float64


class _Search:
    """The open hypotheses of a batch, (B, K), and what each step chose."""

    def __init__(
        self, model: AcousticModel, encoded: Encoded, options: DecodingOptions, lm: TextScorer | None
    ) -> None:
        self.model, self.options = model, options
        self.batch = self.batch_at_first = len(encoded.lengths)
        self.shares = {"decoder": 1.0}
        self.scorers: list[Scorer] = []
        self.states: list[Any] = []
        if encoded.ctc is not None and options.ctc_weight:
            self.shares = {"decoder": 1 - options.ctc_weight, "ctc": options.ctc_weight}
            ctc = CtcPrefixScorer(encoded.ctc, encoded.lengths)
            self._join(ctc, ctc.start())
        if lm is not None and options.lm_weight:
            self.shares["lm"] = options.lm_weight
            self._join(lm, lm.start(self.batch))
        self.covers = options.coverage_weight > 0 and model.has_attention
        if self.covers:
            self.shares["coverage"] = options.coverage_weight
        reward = options.length_reward
        if reward is None:
            reward = self.shares.get("lm", 0.0) * (lm.cost if lm is not None else 0.0)
        self.reward = reward
        self.rewards = np.full(model.vocabulary, reward, np.float64)
        self.rewards[END] = 0.0
        self.rewards[[PADDING, START, UNKNOWN]] = -np.inf
        self.lengths = encoded.lengths
        self.limits = length_limits(encoded.lengths, options.tokens_per_frame)
        # Summed log-probability, -inf where nothing may be added; last token; one hypothesis at first.
        self.decoder: Float64 = np.zeros((self.batch, 1))
        self.tokens: Integers = np.full((self.batch, 1), START)
        self.looked: Floats | None = None  # (B, K, T')
        self.best = np.full(self.batch, -np.inf)  # score of the best finished text
        self.state = model.start(encoded)
        self.count = 1  # hypotheses of each utterance in the step
        self.rows: slice | Integers = slice(None)  # the utterances that are still in the batch
        self.steps: list[_Step] = []
        self.automata: AutomatonScorer | None = None
        self.automaton_states: Any = None
        self.gates: Float64 = np.ones((self.batch, 1, 1))  # of the step, (B, K, V)
        self.ctc: Float64 = np.zeros((self.batch, 1))  # CTC prefix score of each hypothesis

    def guide(self, automata: Sequence[Sequence[Automaton]]) -> None:
        """Let the automata of each utterance join the search."""
        from asr_seq2seq.decoding.automata import AutomatonScorer

        self.automata = AutomatonScorer(automata, self.model.vocabulary, END)
        self.automaton_states = self.automata.start()
        self.limits = np.maximum(self.limits, self.automata.shortest)
        self.shares["boost"] = 1.0

    def _join(self, scorer: Scorer, state: Any) -> None:
        self.scorers.append(scorer)
        self.states.append(state)

    def run(self) -> list[list[Hypothesis]]:
        """Step by step until no utterance has a hypothesis that can still win."""
        shortest, longest = int(self.limits.min()), int(self.limits.max())
        for step in range(longest + 1):
            parts = self._parts(step)
            total = np.multiply(parts[0], self.shares["decoder"])  # (B, K, V)
            own = parts[1:] if self.automata is None else parts[1:-1]
            for part, share in zip(own, list(self.shares.values())[1 : len(own) + 1], strict=True):
                total += share * part
            total += self.rewards + self.reward * step
            parents, open_scores = self._choose(step, total, parts, must_end=step >= shortest)
            if step == longest:
                break
            done = None
            if (step + 1) % _CHECK_EVERY == 0:
                done = self._done(step, open_scores)
                if done.all():
                    break
                self.decoder[done] = -np.inf
            self._advance(parents)
            if done is not None and 2 * np.count_nonzero(done) >= self.batch:
                self._keep(np.flatnonzero(~done))
        return _collect(self.steps, list(self.shares), self.reward, self.options)

    def _parts(self, step: int) -> list[Float64]:
        """One step of the model: the scores of each hypothesis with each symbol added, (B, K, V) each."""
        logits, weights, self.state = self.model.step(self.state, self.tokens.ravel(), attention=self.covers)
        log_p = log_softmax(np.divide(logits, self.options.temperature, dtype=np.float64))
        log_p = log_p.reshape(*self.tokens.shape, -1)
        parts = [self.decoder[..., None] + log_p]
        parts += [scorer.scores(old) for scorer, old in zip(self.scorers, self.states, strict=True)]
        if self.covers and weights is not None:
            shaped = weights.reshape(*self.tokens.shape, -1)
            self.looked = shaped if self.looked is None else self.looked + shaped
            covered = (self.looked > _LOOKED_AT).sum(-1).astype(np.float64)  # (B, K)
            parts.append(np.broadcast_to(covered[..., None], log_p.shape))
        if self.automata is not None:
            self.gates = self._gates(parts)
            parts.append(self.automata.scores(self.automaton_states, self.gates, self.limits - step - 1))
        return parts

    def _gates(self, parts: list[Float64]) -> Float64:
        """How far CTC confirms each character, from -1 to 1, (B, K, V); 1 without CTC."""
        if "ctc" not in self.shares:
            return np.ones(parts[0].shape)
        rise = parts[1] - self.ctc[..., None]
        return np.clip(1 + rise / self.options.hotword_evidence, -1.0, 1.0)

    def _choose(
        self, step: int, total: Float64, parts: list[Float64], must_end: bool
    ) -> tuple[Integers, Float64]:
        """Keep the best of all continuations; their parents, and the scores of the unfinished ones."""
        self.count, vocabulary = total.shape[1:]
        with np.errstate(invalid="ignore"):  # of hypotheses that are none
            sure = log_softmax(total)  # what hypotheses have in common, their past, falls out
        if self.automata is not None:
            total += parts[-1]
        if must_end:
            over = step >= self.limits
            ends = total[over, :, END]
            total[over] = -np.inf
            total[over, :, END] = ends
        choice = _largest(total.reshape(self.batch, -1), self.options.beam_size)  # (B, K')
        parents, self.tokens = np.divmod(choice, vocabulary)
        places = choice + np.arange(self.batch)[:, None] * (self.count * vocabulary)
        found = np.array([part.take(places) for part in (total, sure, *parts)])  # (2 + P, B, K')
        scores = found[0]
        self.steps.append(self._step(parents, self.tokens, found))
        ended = self.tokens == END
        self.best = np.maximum(self.best, np.where(ended, scores, -np.inf).max(1))
        open_scores = np.where(ended, -np.inf, scores)
        self.decoder = np.where(open_scores == -np.inf, -np.inf, found[2])
        if "ctc" in self.shares:
            self.ctc = found[3]
        return parents, open_scores

    def _step(self, parents: Integers, tokens: Integers, numbers: Float64) -> _Step:
        """What was chosen (B, K'), for all utterances of the batch at the beginning and the whole beam."""
        shape, count = (self.batch_at_first, self.options.beam_size), parents.shape[1]
        if parents.shape == shape:
            return _Step(parents, tokens, numbers)
        step = _Step(
            np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full((len(numbers), *shape), -np.inf)
        )
        step.parents[self.rows, :count] = parents
        step.tokens[self.rows, :count] = tokens
        step.numbers[:, self.rows, :count] = numbers
        return step

    def _done(self, step: int, open_scores: Float64) -> npt.NDArray[np.bool_]:
        """Which utterances have no open hypothesis that may still lead to a better text, (B,)."""
        hopes = open_scores
        if self.reward > 0:
            hopes = hopes + self.reward * np.maximum(self.limits - step - 1, 0)[:, None]
        if self.covers:
            part = 2 + list(self.shares).index("coverage")
            covered = self.steps[-1].numbers[part][self.rows, : hopes.shape[1]]
            hopes = hopes + self.options.coverage_weight * (self.lengths[:, None] - covered)
        if self.automata is not None:
            rest = np.maximum(self.limits - step - 1, 0) + self.automata.reach
            hopes = hopes + (self.automata.rates * rest)[:, None]
        done: npt.NDArray[np.bool_] = hopes.max(1) <= self.best
        return done

    def _advance(self, parents: Integers) -> None:
        """Bring all that hypotheses carry from their parents to them, (B, K')."""
        utterances = np.arange(self.batch)[:, None]
        self.state = self.state.select((parents + utterances * self.count).ravel())
        if self.looked is not None:
            self.looked = self.looked[utterances, parents]
        self.states = [
            scorer.advance(old, parents, self.tokens)
            for scorer, old in zip(self.scorers, self.states, strict=True)
        ]
        if self.automata is not None:
            self.automaton_states = self.automata.advance(
                self.automaton_states, parents, self.tokens, self.gates
            )

    def _keep(self, utterances: Integers) -> None:
        """Only these utterances, (B',), stay in the batch."""
        self.rows = utterances if isinstance(self.rows, slice) else self.rows[utterances]
        self.batch = len(utterances)
        for name in ("decoder", "tokens", "best", "limits", "lengths", "ctc"):
            setattr(self, name, getattr(self, name)[utterances])
        if self.looked is not None:
            self.looked = self.looked[utterances]
        self.state = self.state.keep(utterances)
        pairs = [scorer.keep(old, utterances) for scorer, old in zip(self.scorers, self.states, strict=True)]
        self.scorers, self.states = [scorer for scorer, _ in pairs], [old for _, old in pairs]
        if self.automata is not None:
            self.automata, self.automaton_states = self.automata.keep(self.automaton_states, utterances)


def log_softmax(scores: Float64) -> Float64:
    """Over the last axis."""
    shifted: Float64 = scores - scores.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def _largest(scores: Float64, count: int) -> Integers:
    """Where the `count` largest of each row (B, N) are, the largest first, (B, min(count, N))."""
    if count < scores.shape[1]:
        places = np.argpartition(scores, -count, axis=1)[:, -count:]
        places.sort(axis=1)  # equal ones in the order of their places
        rows = np.arange(len(scores))[:, None]
        return places[rows, np.argsort(-scores[rows, places], axis=1, kind="stable")]
    return np.argsort(-scores, axis=1, kind="stable")


def _collect(
    steps: list[_Step], names: list[str], reward: float, options: DecodingOptions
) -> list[list[Hypothesis]]:
    """All steps -> the best finished texts of each utterance."""
    parents, tokens = (np.stack([getattr(step, name) for step in steps]) for name in ("parents", "tokens"))
    numbers = np.stack([step.numbers for step in steps])  # (S, 2 + P, B, K)
    beam, batch = tokens.shape[2], tokens.shape[1]
    ended = np.where(tokens == END, numbers[:, 0], -np.inf).transpose(1, 0, 2).reshape(batch, -1)
    count = min(options.n_best or options.beam_size, options.beam_size)
    place = _largest(ended, count)  # (B, N) in S * K
    rows = np.arange(batch)[:, None]
    scores = ended[rows, place]  # (B, N)
    ends, slots = np.divmod(place, beam)  # the step that ended a text, and where in the beam
    # From each end back to the beginning.
    path = np.empty((len(steps), *slots.shape), np.int64)
    for step in reversed(range(len(steps))):
        path[step] = slots
        slots = np.where(step <= ends, parents[step][rows, slots], slots)
    every = np.arange(len(steps))[:, None, None]
    texts, sure = tokens[every, rows, path], numbers[:, 1][every, rows, path]  # (S, B, N)
    parts = numbers[ends, 2:, rows, place % beam]  # (B, N, P)
    return [
        [
            Hypothesis(
                tuple(texts[:length, row, column].tolist()),
                score,
                **dict(zip(names, of_text, strict=True)),
                reward=reward * length,
                chosen=tuple(sure[: length + 1, row, column].tolist()),
            )
            for column, (length, score, of_text) in enumerate(zip(*of_row, strict=True))
            if score > -np.inf
        ]
        for row, of_row in enumerate(zip(ends.tolist(), scores.tolist(), parts.tolist(), strict=True))
    ]
