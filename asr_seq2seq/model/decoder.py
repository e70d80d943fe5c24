"""The character-level decoder s_t = g(y_{t-1}, s_{t-1}, c), in three kinds behind one interface.

- `FixedVectorDecoder` (attention none): all it ever hears is the context c, given as the initial
  state of every layer and again at every step (Sutskever et al. 2014; Cho et al. 2014, section 2.2).
- `DotDecoder`: a lower recurrent layer, attention for all steps at once, recurrent layers above.
  Teacher forcing needs no Python loop over time.
- `LocationDecoder`: location-aware attention, one step after another (Chorowski et al. 2015).

`forward` is teacher forcing over a whole target; `start` and `step` write one character at a time.
Both give the same logits. In a search each utterance has K hypotheses: rows of a `State` are
utterance-major, (B * K), while its memory and context stay one per utterance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from asr_seq2seq.config import DecoderConfig
from asr_seq2seq.model.attention import DotAttention, LocationAttention, Memory
from asr_seq2seq.model.recurrent import initial_state, recurrent, run


@dataclass(frozen=True)
class State:
    """What a decoder carries from step to step; N = B * K hypotheses, K the same for all utterances.

    `recurrent` holds (S, layers, N, D) for each stack; `attended` (N, E) is what attention saw last;
    `weights` (N, T') is where it looked (the mean over heads).
    """

    context: Tensor
    memory: Memory | None
    recurrent: tuple[Tensor, ...]
    attended: Tensor | None = None
    weights: Tensor | None = None

    def select(self, rows: Tensor) -> State:
        """The hypotheses with these row numbers, (N',), which stay utterance-major."""
        return replace(
            self,
            recurrent=tuple(part[:, :, rows] for part in self.recurrent),
            attended=None if self.attended is None else self.attended[rows],
            weights=None if self.weights is None else self.weights[rows],
        )


class Decoder(nn.Module, ABC):
    """tokens (B, U) with the encoded sequence and the context -> logits (B, U, V)."""

    def __init__(self, config: DecoderConfig, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.dropout = nn.Dropout(config.dropout)

    @abstractmethod
    def start(self, encoded: Tensor, lengths: Tensor, context: Tensor) -> State:
        """Encoded (B, T', E), lengths (B,), context (B, D) -> the state before the start symbol, K = 1."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) -> logits (N, V) of the next ones, and the state after them."""

    def forward(self, tokens: Tensor, encoded: Tensor, lengths: Tensor, context: Tensor) -> Tensor:
        """Teacher forcing: tokens (B, U) beginning with the start symbol -> logits (B, U, V)."""
        return self.forced(tokens, encoded, lengths, context)[0]

    @abstractmethod
    def forced(
        self, tokens: Tensor, encoded: Tensor, lengths: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The same with the attention's weights (B, U, T'), the mean over heads, where there are any."""

    def _inputs(self, tokens: Tensor, context: Tensor) -> Tensor:
        """[embedding; context] at every step: tokens (B, U) -> (B, U, embedding + D)."""
        embedded = self.dropout(self.embedding(tokens))
        return torch.cat((embedded, context[:, None].expand(-1, tokens.shape[1], -1)), dim=2)

    def _step_inputs(self, tokens: Tensor, context: Tensor) -> Tensor:
        """The same for the next step of every hypothesis: tokens (N,) -> (N, embedding + D)."""
        return self._inputs(tokens.view(len(context), -1), context).flatten(0, 1)


class FixedVectorDecoder(Decoder):
    """Writes the text from the context vector alone."""

    def __init__(self, config: DecoderConfig, encoded_size: int, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.layers = recurrent(
            config.cell, config.embedding + config.units, config.units, config.layers, config.dropout
        )
        self.output = nn.Linear(config.units, vocabulary)

    def start(self, encoded: Tensor, lengths: Tensor, context: Tensor) -> State:
        """The encoded sequence is not kept: only the context is."""
        return State(context, None, (initial_state(self.layers, context),))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One call of the recurrent stack over one step."""
        inputs = self._step_inputs(tokens, state.context)[None]  # (1, N, .)
        hidden, recurrent_state = run(self.layers, inputs, state.recurrent[0])
        return self.output(self.dropout(hidden[0])), replace(state, recurrent=(recurrent_state,))

    def forced(
        self, tokens: Tensor, encoded: Tensor, lengths: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One fused call over the whole target."""
        inputs = self._inputs(tokens, context).transpose(0, 1)  # (U, B, .)
        hidden, _ = run(self.layers, inputs, initial_state(self.layers, context))
        logits: Tensor = self.output(self.dropout(hidden))
        return logits.transpose(0, 1), None


class DotDecoder(Decoder):
    """Lower layer over the whole target, dot attention for all steps at once, layers above both."""

    def __init__(self, config: DecoderConfig, encoded_size: int, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.attention = DotAttention(config, encoded_size)
        self.lower = recurrent(config.cell, config.embedding + config.units, config.units)
        self.upper = recurrent(
            config.cell, config.units + self.attention.size, config.units, config.layers, config.dropout
        )
        self.output = nn.Linear(config.units, vocabulary)

    def start(self, encoded: Tensor, lengths: Tensor, context: Tensor) -> State:
        """Keys are computed once here."""
        memory = self.attention.remember(encoded, lengths)
        return State(
            context, memory, (initial_state(self.lower, context), initial_state(self.upper, context))
        )

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The same three stages for one step."""
        assert state.memory is not None
        inputs = self._step_inputs(tokens, state.context)[None]  # (1, N, .)
        low, low_state = run(self.lower, inputs, state.recurrent[0])
        queries = low[0].view(len(state.context), -1, low.shape[2])  # (B, K, D)
        attended, weights = self.attention(queries, state.memory)
        attended = attended.flatten(0, 1)  # (N, E)
        joined = self.dropout(torch.cat((low[0], attended), dim=1))
        high, high_state = run(self.upper, joined[None], state.recurrent[1])
        logits = self.output(self.dropout(high[0]))
        where = weights.mean(1).flatten(0, 1)  # (N, T')
        return logits, replace(state, recurrent=(low_state, high_state), attended=attended, weights=where)

    def forced(
        self, tokens: Tensor, encoded: Tensor, lengths: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Two fused recurrent calls and one batched product."""
        inputs = self._inputs(tokens, context).transpose(0, 1)  # (U, B, .)
        low, _ = run(self.lower, inputs, initial_state(self.lower, context))
        attended, weights = self.attention(low.transpose(0, 1), self.attention.remember(encoded, lengths))
        joined = self.dropout(torch.cat((low, attended.transpose(0, 1)), dim=2))
        high, _ = run(self.upper, joined, initial_state(self.upper, context))
        logits: Tensor = self.output(self.dropout(high))
        return logits.transpose(0, 1), weights.mean(1)


class LocationDecoder(Decoder):
    """s_t from [y_{t-1}; attended_{t-1}; c], then attention by s_t, then the output of both."""

    def __init__(self, config: DecoderConfig, encoded_size: int, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.attention = LocationAttention(config, encoded_size)
        self.layers = recurrent(
            config.cell,
            config.embedding + config.units + self.attention.size,
            config.units,
            config.layers,
            config.dropout,
        )
        self.joint = nn.Linear(config.units + self.attention.size, config.units)
        self.output = nn.Linear(config.units, vocabulary)

    def start(self, encoded: Tensor, lengths: Tensor, context: Tensor) -> State:
        """Attention begins evenly over the utterance, having seen nothing."""
        memory = self.attention.remember(encoded, lengths)
        nothing = encoded.new_zeros(len(encoded), self.attention.size)
        state = (initial_state(self.layers, context),)
        return State(context, memory, state, nothing, self.attention.start(memory))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One step; what does not depend on it was computed in `start`."""
        hidden, state = self._advance(self._step_inputs(tokens, state.context), state)
        return self._logits(hidden), state

    def forced(
        self, tokens: Tensor, encoded: Tensor, lengths: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """A loop over the target's steps; the output layers run once, after it."""
        state = self.start(encoded, lengths, context)
        steps, looked = [], []
        for inputs in self._inputs(tokens, context).unbind(1):
            hidden, state = self._advance(inputs, state)
            assert state.weights is not None
            steps.append(hidden)
            looked.append(state.weights)
        return self._logits(torch.stack(steps, dim=1)), torch.stack(looked, dim=1)

    def _advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Inputs (N, .) -> [s_t; attended_t] (N, D + E) and the state that holds them."""
        assert state.memory is not None and state.attended is not None and state.weights is not None
        hidden, recurrent_state = run(
            self.layers, torch.cat((inputs, state.attended), dim=1)[None], state.recurrent[0]
        )
        batch = len(state.context)
        attended, weights = self.attention(
            hidden[0].view(batch, -1, hidden.shape[2]),
            state.memory,
            state.weights.view(batch, -1, state.weights.shape[1]),
        )
        attended, weights = attended.flatten(0, 1), weights.flatten(0, 1)
        state = replace(state, recurrent=(recurrent_state,), attended=attended, weights=weights)
        return torch.cat((hidden[0], attended), dim=1), state

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(torch.tanh(self.joint(self.dropout(hidden)))))
        return logits
