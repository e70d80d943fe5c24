"""Attention over the encoded sequence: what a fixed-length vector loses, looked up again.

Everything that does not depend on the decoder's step is computed once per utterance and held in a
`Memory`. A search holds K hypotheses of each utterance: queries come as (B, K, D) and the memory is
broadcast over them, never copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from asr_seq2seq.config import DecoderConfig
from asr_seq2seq.model.features import length_mask

_CACHED = 2**19  # energies worked on at once on a processor: what its cache holds
_BLOCK = 64  # frames that one product of the location filters gives


@dataclass(frozen=True)
class Memory:
    """Per utterance: keys (B, T', A), values (B, T', E), mask (B, T') true at real frames.

    `filters` (_BLOCK + 2 width, _BLOCK * channels) are those of location attention, as a matrix. Its keys are
    held doubled.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    filters: Tensor | None = None

    def keep(self, utterances: Tensor) -> Memory:
        """That of these utterances, (B',), alone."""
        return Memory(self.keys[utterances], self.values[utterances], self.mask[utterances], self.filters)


class DotAttention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2), all steps at once."""

    def __init__(self, config: DecoderConfig, encoded_size: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.units, config.attention_size)
        self.key = nn.Linear(encoded_size, config.attention_size)
        self.size = config.heads * encoded_size

    def remember(self, encoded: Tensor, lengths: Tensor) -> Memory:
        """Encoded (B, T', E), lengths (B,) -> what `forward` looks things up in."""
        return Memory(self.key(encoded), encoded, length_mask(lengths, encoded.shape[1]))

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries (B, K, D) -> attended (B, K, size), weights (B, heads, K, T')."""
        weights = self.look(queries, memory)
        attended = weights.to(memory.values.dtype) @ memory.values[:, None]  # (B, H, K, E)
        return attended.transpose(1, 2).reshape(*queries.shape[:2], self.size), weights

    def look(self, queries: Tensor, memory: Memory) -> Tensor:
        """Queries (B, K, D) -> weights (B, heads, K, T')."""
        batch, count, _ = queries.shape
        q = self.query(queries).view(batch, count, self.heads, -1).transpose(1, 2)  # (B, H, K, A/H)
        k = memory.keys.view(batch, -1, self.heads, q.shape[-1]).permute(0, 2, 3, 1)  # (B, H, A/H, T')
        scores = (q @ k).float() / math.sqrt(q.shape[-1])  # (B, H, K, T')
        weights: Tensor = scores.masked_fill(~memory.mask[:, None, None], float("-inf")).softmax(-1)
        return weights


class LocationAttention(nn.Module):
    """Additive attention that also sees where it looked before (Chorowski et al. 2015, section 2.1).

    v tanh(x) is computed as 2 v sigmoid(2 x), which is larger by the sum of v at every frame: the same to the
    softmax, and on a processor many times faster.
    """

    def __init__(self, config: DecoderConfig, encoded_size: int) -> None:
        super().__init__()
        self.width = config.location_width
        self.query = nn.Linear(config.units, config.attention_size)
        self.key = nn.Linear(encoded_size, config.attention_size, bias=False)
        self.convolution = nn.Conv1d(
            1, config.location_channels, 2 * self.width + 1, padding=self.width, bias=False
        )
        self.location = nn.Linear(config.location_channels, config.attention_size, bias=False)
        self.score = nn.Linear(config.attention_size, 1, bias=False)
        self.size = encoded_size

    def remember(self, encoded: Tensor, lengths: Tensor) -> Memory:
        """Encoded (B, T', E), lengths (B,) -> what `forward` looks things up in."""
        mask = length_mask(lengths, encoded.shape[1])
        return Memory(2 * self.key(encoded), encoded, mask, self._filters())

    def start(self, memory: Memory) -> Tensor:
        """The weights before the first step, even over the real frames: (B, T')."""
        return memory.mask / memory.mask.sum(1, keepdim=True)

    def forward(self, queries: Tensor, memory: Memory, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, K, D), previous weights (B, K, T') -> attended (B, K, E), weights (B, K, T')."""
        weights = self.look(queries, memory, previous)
        return weights.to(memory.values.dtype) @ memory.values, weights

    def look(self, queries: Tensor, memory: Memory, previous: Tensor) -> Tensor:
        """Queries (B, K, D), previous weights (B, K, T') -> weights (B, K, T').

        The energies are as large as all keys of all hypotheses. On a processor they are worked on a few
        utterances at a time, in one block of memory, so that they stay in its cache.
        """
        batch, count, time = previous.shape
        seen, asked = self._convolve(previous, memory), self.query(queries)  # (B, K, T', C), (B, K, A)
        together = batch
        if queries.device.type == "cpu":
            together = min(batch, max(1, _CACHED // (count * time * asked.shape[2])))
        space = None
        if not torch.is_grad_enabled():
            space = asked.new_empty(together, count, time, asked.shape[2])
        scores = []
        for first in range(0, batch, together):
            some = slice(first, first + together)
            keys, query, where = memory.keys[some], asked[some], seen[some]
            out = None if space is None else space[: len(keys)]
            energy = torch.add(keys[:, None], query[:, :, None], alpha=2, out=out)
            energy.flatten(0, 2).addmm_(where.flatten(0, 2), self.location.weight.t(), alpha=2)
            scores.append(energy.sigmoid_() @ self.score.weight[0])
        joined = 2 * torch.cat(scores).float()  # (B, K, T')
        return joined.masked_fill(~memory.mask[:, None], float("-inf")).softmax(-1)

    def _filters(self) -> Tensor:
        """The convolution for a block of frames as one matrix: (_BLOCK + 2 width, _BLOCK * channels)."""
        kernel = self.convolution.weight[:, 0].t()  # (2 width + 1, C)
        # Each frame of the block has the kernel in its column, one row lower than the frame before it.
        columns = functional.pad(kernel, (0, 0, 0, _BLOCK)).expand(_BLOCK, -1, -1)
        rows = columns.reshape(-1, kernel.shape[1])[: _BLOCK * (len(kernel) + _BLOCK - 1)]
        return rows.view(_BLOCK, -1, kernel.shape[1]).transpose(0, 1).flatten(1)

    def _convolve(self, previous: Tensor, memory: Memory) -> Tensor:
        """Weights (B, K, T') -> what the filters see around each frame, (B, K, T', C)."""
        assert memory.filters is not None
        batch, count, time = previous.shape
        window = len(memory.filters)
        padded = functional.pad(previous, (self.width, self.width + -time % _BLOCK))
        blocks = padded.unfold(2, window, _BLOCK).reshape(-1, window)
        seen = (blocks.to(memory.filters.dtype) @ memory.filters).view(
            batch, count, -1, self.location.in_features
        )
        return seen[:, :, :time]
