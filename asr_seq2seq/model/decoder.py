"""The character-level decoder s_t = g(y_{t-1}, s_{t-1}, c), in three kinds behind one interface.

- `FixedVectorDecoder` (attention none): its only input from the sound is the context c, given as the initial
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
from asr_seq2seq.model.rnn import Stepper, initial_state, recurrent, run


@dataclass(frozen=True)
class StepWeights:
    """A decoder's weights as single steps read them: they are laid out once for all steps of a search.

    `symbols` (V, G) is what each symbol adds to the gates of the first layer; one stepper a stack; of the
    dot decoder `of_low` (D, G), the upper stack's weights of what the lower one gives.
    """

    symbols: Tensor
    steppers: tuple[Stepper, ...]
    of_low: Tensor | None = None


@dataclass(frozen=True)
class State:
    """What a decoder carries from step to step; N = B * K hypotheses, K the same for all utterances.

    `context` (B, G) is what the context adds to the gates of the first layer. `recurrent` holds
    (S, layers, N, D) for each stack; `attended` (N, G) is what attention saw last, as the next step's gates
    hear it; `weights` (N, T') is where it looked (the mean over heads).
    """

    context: Tensor
    memory: Memory | None
    recurrent: tuple[Tensor, ...]
    step_weights: StepWeights
    attended: Tensor | None = None
    weights: Tensor | None = None

    def select(self, rows: Tensor) -> State:
        """The hypotheses with these row numbers, (N',), which stay utterance-major."""
        return replace(
            self,
            recurrent=tuple(part.index_select(2, rows) for part in self.recurrent),
            attended=None if self.attended is None else self.attended.index_select(0, rows),
            weights=None if self.weights is None else self.weights.index_select(0, rows),
        )

    def keep(self, utterances: Tensor) -> State:
        """These utterances, (B',), alone, with all their hypotheses."""
        rows = hypotheses_of(utterances, self.recurrent[0].shape[2] // len(self.context))
        memory = None if self.memory is None else self.memory.keep(utterances)
        return replace(self.select(rows), context=self.context[utterances], memory=memory)


def hypotheses_of(utterances: Tensor, count: int) -> Tensor:
    """The row numbers (B' * count,) of the hypotheses of utterances (B',), each of which has `count`."""
    return (utterances[:, None] * count + torch.arange(count, device=utterances.device)).flatten()


class Decoder(nn.Module, ABC):
    """tokens (B, U) with the encoded sequence and the context -> logits (B, U, V)."""

    output: nn.Linear

    def __init__(self, config: DecoderConfig, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
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

    def step_weights(self) -> StepWeights:
        """Lay out the weights of the recurrent stacks, the first of which reads the symbols."""
        steppers = tuple(Stepper(stack) for stack in self.children() if isinstance(stack, nn.RNNBase))
        of_symbols = steppers[0].of_columns(0, self.embedding.embedding_dim)
        return StepWeights(self.embedding.weight @ of_symbols, steppers)

    def _context_gates(self, context: Tensor, stepper: Stepper) -> Tensor:
        """What the context (B, D) adds to the gates of the first layer at every step, biases too: (B, G)."""
        first = self.embedding.embedding_dim
        return torch.addmm(stepper.biases[0], context, stepper.of_columns(first, first + context.shape[1]))

    def _gates(self, tokens: Tensor, state: State) -> Tensor:
        """What the last tokens (N,) and the context add to the gates of the first layer: (N, G)."""
        of_tokens = state.step_weights.symbols.index_select(0, tokens).view(
            len(state.context), -1, state.context.shape[1]
        )
        return (of_tokens + state.context[:, None]).flatten(0, 1)


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
        weights = self.step_weights()
        gates = self._context_gates(context, weights.steppers[0])
        return State(gates, None, (initial_state(self.layers, context),), weights)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the recurrent stack."""
        (stepper,) = state.step_weights.steppers
        hidden, recurrent_state = stepper(self._gates(tokens, state), state.recurrent[0])
        return self.output(self.dropout(hidden)), replace(state, recurrent=(recurrent_state,))

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

    def step_weights(self) -> StepWeights:
        """Those of the lower layer between the stacks too."""
        weights = super().step_weights()
        return replace(weights, of_low=weights.steppers[1].of_columns(0, self.lower.hidden_size).contiguous())

    def start(self, encoded: Tensor, lengths: Tensor, context: Tensor) -> State:
        """Keys, and what the upper layers would hear of each frame, are computed once here."""
        weights = self.step_weights()
        memory = self.attention.remember(encoded, lengths)
        of_values = weights.steppers[1].of_columns(self.lower.hidden_size)  # (H * E, G)
        values = encoded[:, None] @ of_values.view(
            self.attention.heads, -1, of_values.shape[1]
        )  # (B, H, T', G)
        gates = self._context_gates(context, weights.steppers[0])
        states = (initial_state(self.lower, context), initial_state(self.upper, context))
        return State(gates, replace(memory, values=values.flatten(1, 2)), states, weights)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The same three stages for one step."""
        of_low, (lower, upper) = state.step_weights.of_low, state.step_weights.steppers
        assert state.memory is not None and of_low is not None
        low, low_state = lower(self._gates(tokens, state), state.recurrent[0])
        weights = self.attention.look(
            low.view(len(state.context), -1, low.shape[1]), state.memory
        )  # (B, H, K, T')
        attended = (weights.transpose(1, 2).flatten(2) @ state.memory.values).flatten(0, 1)  # (N, G)
        gates = torch.addmm(attended, low, of_low) + upper.biases[0]
        high, high_state = upper(gates, state.recurrent[1])
        logits = self.output(self.dropout(high))
        where = weights.mean(1).flatten(0, 1)  # (N, T')
        return logits, replace(state, recurrent=(low_state, high_state), weights=where)

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
        weights = self.step_weights()
        memory = self.attention.remember(encoded, lengths)
        of_values = torch.cat(
            (self._of_attended(weights), self.joint.weight[:, self.layers.hidden_size :].t()), 1
        )
        return self._state(replace(memory, values=encoded @ of_values), context, weights)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One step; what does not depend on it was computed in `start`."""
        hidden, state, joint = self._advance(self._gates(tokens, state), state)
        of_hidden = self.joint.weight[:, : hidden.shape[1]].t()
        joint = joint + torch.addmm(self.joint.bias, hidden, of_hidden)
        logits: Tensor = self.output(self.dropout(torch.tanh(joint)))
        return logits, state

    def forced(
        self, tokens: Tensor, encoded: Tensor, lengths: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """A loop over the target's steps; the output layers run once, after it."""
        with torch.autocast(encoded.device.type, enabled=False):  # as all recurrent layers
            encoded, context = encoded.float(), context.float()
            weights = self.step_weights()
            memory = self.attention.remember(encoded, lengths)
            memory = replace(memory, values=encoded @ self._of_attended(weights))
            state = self._state(memory, context, weights)
            embedded = self.dropout(self.embedding(tokens))
            gates = embedded @ weights.steppers[0].of_columns(0, embedded.shape[2]) + state.context[:, None]
            steps, looked = [], []
            for step_gates in gates.unbind(1):
                hidden, state, _ = self._advance(step_gates, state)
                assert state.weights is not None
                steps.append(hidden)
                looked.append(state.weights)
            where = torch.stack(looked, dim=1)  # (B, U, T')
            hidden = torch.cat((torch.stack(steps, dim=1), where @ encoded), dim=2)
        joint = torch.tanh(self.joint(self.dropout(hidden)))
        return self.output(self.dropout(joint)), where

    def _of_attended(self, weights: StepWeights) -> Tensor:
        """What the first layer makes of what was attended: (E, G)."""
        return weights.steppers[0].of_columns(self.embedding.embedding_dim + self.layers.hidden_size)

    def _state(self, memory: Memory, context: Tensor, weights: StepWeights) -> State:
        gates = self._context_gates(context, weights.steppers[0])
        states = (initial_state(self.layers, context),)
        return State(gates, memory, states, weights, torch.zeros_like(gates), self.attention.start(memory))

    def _advance(self, gates: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Gates (N, G) of symbol and context -> s_t (N, D), the state, and what else was read (N, .)."""
        assert state.memory is not None and state.attended is not None and state.weights is not None
        (stepper,) = state.step_weights.steppers
        hidden, recurrent_state = stepper(gates + state.attended, state.recurrent[0])
        batch = len(state.context)
        weights = self.attention.look(
            hidden.view(batch, -1, hidden.shape[1]),
            state.memory,
            state.weights.view(batch, -1, state.weights.shape[1]),
        )
        read = (weights @ state.memory.values).flatten(0, 1)  # (N, G + .)
        attended, rest = read[:, : gates.shape[1]], read[:, gates.shape[1] :]
        state = replace(state, recurrent=(recurrent_state,), attended=attended, weights=weights.flatten(0, 1))
        return hidden, state, rest
