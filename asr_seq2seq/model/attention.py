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
from asr_seq2seq.features import length_mask


@dataclass(frozen=True)
class Memory:
    """Per utterance: keys (B, T', A), values (B, T', E), mask (B, T') true at real frames."""

    keys: Tensor
    values: Tensor
    mask: Tensor


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
        batch, count, _ = queries.shape
        q = self.query(queries).view(batch, count, self.heads, -1).transpose(1, 2)  # (B, H, K, A/H)
        k = memory.keys.view(batch, -1, self.heads, q.shape[-1]).permute(0, 2, 3, 1)  # (B, H, A/H, T')
        scores = (q @ k).float() / math.sqrt(q.shape[-1])  # (B, H, K, T')
        weights = scores.masked_fill(~memory.mask[:, None, None], float("-inf")).softmax(-1)
        attended = weights.to(memory.values.dtype) @ memory.values[:, None]  # (B, H, K, E)
        return attended.transpose(1, 2).reshape(batch, count, self.size), weights


class LocationAttention(nn.Module):
    """Additive attention that also sees where it looked before (Chorowski et al. 2015, section 2.1)."""

    def __init__(self, config: DecoderConfig, encoded_size: int) -> None:
        super().__init__()
        width = config.location_width
        self.query = nn.Linear(config.units, config.attention_size)
        self.key = nn.Linear(encoded_size, config.attention_size, bias=False)
        self.convolution = nn.Conv1d(1, config.location_channels, 2 * width + 1, padding=width, bias=False)
        self.location = nn.Linear(config.location_channels, config.attention_size, bias=False)
        self.score = nn.Linear(config.attention_size, 1, bias=False)
        self.size = encoded_size

    def remember(self, encoded: Tensor, lengths: Tensor) -> Memory:
        """Encoded (B, T', E), lengths (B,) -> what `forward` looks things up in."""
        return Memory(self.key(encoded), encoded, length_mask(lengths, encoded.shape[1]))

    def start(self, memory: Memory) -> Tensor:
        """The weights before the first step, even over the real frames: (B, T')."""
        return memory.mask / memory.mask.sum(1, keepdim=True)

    def forward(self, queries: Tensor, memory: Memory, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, K, D), previous weights (B, K, T') -> attended (B, K, E), weights (B, K, T')."""
        batch, count, time = previous.shape
        seen = self.convolution(previous.reshape(batch * count, 1, time).to(self.convolution.weight.dtype))
        where = functional.linear(seen.transpose(1, 2), self.location.weight).view(batch, count, time, -1)
        energy = torch.tanh(memory.keys[:, None] + self.query(queries)[:, :, None] + where)
        scores = self.score(energy)[..., 0].float()  # (B, K, T')
        weights = scores.masked_fill(~memory.mask[:, None], float("-inf")).softmax(-1)
        return weights.to(memory.values.dtype) @ memory.values, weights
