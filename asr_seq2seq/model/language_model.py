"""A character language model: p(y_t | y_<t) without any sound (Mikolov et al. 2010, with an LSTM).

`forward` is teacher forcing over whole sentences; `start` and `step` go one character at a time.
Both give the same probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from asr_seq2seq.config import LanguageModelSettings
from asr_seq2seq.model.rnn import Stepper, recurrent, run
from asr_seq2seq.text.tokenizer import END, PADDING, START


@dataclass(frozen=True)
class LanguageModelState:
    """What the model carries from step to step: (2, layers, N, D), one row a hypothesis.

    `symbols` (V, 4 D), what each symbol adds to the gates of the first layer, and the stepper are laid out
    once for all steps.
    """

    recurrent: Tensor
    symbols: Tensor
    stepper: Stepper

    def select(self, rows: Tensor) -> LanguageModelState:
        """The hypotheses with these row numbers, (N',)."""
        return replace(self, recurrent=self.recurrent.index_select(2, rows))


class LanguageModel(nn.Module):
    """tokens (B, U) beginning with the start symbol -> logits (B, U, V) of the next ones."""

    def __init__(self, config: LanguageModelSettings, vocabulary: int) -> None:
        super().__init__()
        shape = config.model
        self.embedding = nn.Embedding(vocabulary, shape.embedding)
        self.layers = recurrent("lstm", shape.embedding, shape.units, shape.layers, shape.dropout)
        self.dropout = nn.Dropout(shape.dropout)
        self.output = nn.Linear(shape.units, vocabulary)

    def start(self, batch: int) -> LanguageModelState:
        """The state of `batch` empty texts, before the start symbol."""
        size = (2, self.layers.num_layers, batch, self.layers.hidden_size)
        stepper = Stepper(self.layers)
        symbols = torch.addmm(stepper.biases[0], self.embedding.weight, stepper.of_columns(0))
        return LanguageModelState(self.output.weight.new_zeros(size), symbols, stepper)

    def step(self, tokens: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """The last tokens (N,) -> log-probabilities (N, V) of the next ones, and the state after them."""
        hidden, after = state.stepper(state.symbols.index_select(0, tokens), state.recurrent)
        logits: Tensor = self.output(self.dropout(hidden))
        return logits.float().log_softmax(-1), replace(state, recurrent=after)

    def forward(self, tokens: Tensor) -> Tensor:
        """One fused call over whole sentences."""
        hidden, _ = run(self.layers, self.dropout(self.embedding(tokens.T)), None)  # (U, B, D)
        logits: Tensor = self.output(self.dropout(hidden))
        return logits.transpose(0, 1)

    def loss(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """-log p per character, end symbols included, of sentences (B, U) zero-padded without symbols."""
        inputs = functional.pad(tokens, (1, 0), value=START)  # (B, U + 1)
        targets = functional.pad(tokens, (0, 1)).scatter(1, lengths[:, None], END)
        logits = self(inputs).flatten(0, 1).float()
        return functional.cross_entropy(logits, targets.flatten(), ignore_index=PADDING)
