"""A character language model: p(y_t | y_<t) without any sound (Mikolov et al. 2010, with an LSTM).

`forward` is teacher forcing over whole sentences; `start` and `step` go one character at a time.
Both give the same probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from asr_seq2seq.config import LanguageModelConfig
from asr_seq2seq.model.recurrent import recurrent, run
from asr_seq2seq.text import END, PADDING, START


@dataclass(frozen=True)
class LanguageModelState:
    """What the model carries from step to step: (2, layers, N, D), one row a hypothesis."""

    recurrent: Tensor

    def select(self, rows: Tensor) -> LanguageModelState:
        """The hypotheses with these row numbers, (N',)."""
        return LanguageModelState(self.recurrent[:, :, rows])


class LanguageModel(nn.Module):
    """tokens (B, U) beginning with the start symbol -> logits (B, U, V) of the next ones."""

    def __init__(self, config: LanguageModelConfig, vocabulary: int) -> None:
        super().__init__()
        shape = config.model
        self.embedding = nn.Embedding(vocabulary, shape.embedding)
        self.layers = recurrent("lstm", shape.embedding, shape.units, shape.layers, shape.dropout)
        self.dropout = nn.Dropout(shape.dropout)
        self.output = nn.Linear(shape.units, vocabulary)

    def start(self, batch: int) -> LanguageModelState:
        """The state of `batch` empty texts, before the start symbol."""
        size = (2, self.layers.num_layers, batch, self.layers.hidden_size)
        return LanguageModelState(self.output.weight.new_zeros(size))

    def step(self, tokens: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """The last tokens (N,) -> log-probabilities (N, V) of the next ones, and the state after them."""
        logits, after = self._logits(tokens[None], state)
        return logits[0].float().log_softmax(-1), after

    def forward(self, tokens: Tensor) -> Tensor:
        """One fused call over whole sentences."""
        return self._logits(tokens.T, self.start(len(tokens)))[0].transpose(0, 1)

    def loss(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """-log p per character, end symbols included, of sentences (B, U) zero-padded without symbols."""
        inputs = functional.pad(tokens, (1, 0), value=START)  # (B, U + 1)
        targets = functional.pad(tokens, (0, 1)).scatter(1, lengths[:, None], END)
        logits = self(inputs).flatten(0, 1).float()
        return functional.cross_entropy(logits, targets.flatten(), ignore_index=PADDING)

    def _logits(self, tokens: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """Tokens (U, N) -> logits (U, N, V) and the state after the last of them."""
        hidden, after = run(self.layers, self.dropout(self.embedding(tokens)), state.recurrent)
        return self.output(self.dropout(hidden)), LanguageModelState(after)
