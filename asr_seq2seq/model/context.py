"""From the encoded sequence to one vector: c = tanh(W q(h_1 .. h_T') + b).

`q` takes the last states (Sutskever et al. 2014, section 2), the mean, or a weighted mean whose
weights are learned (Lin et al. 2017, section 2.1, with one hop).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asr_seq2seq.config import ContextConfig
from asr_seq2seq.model.features import length_mask


class Context(nn.Module):
    """encoded (B, T', E), lengths (B,) -> context (B, D)."""

    def __init__(self, config: ContextConfig, encoded_size: int, bidirectional: bool) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.bidirectional = bidirectional
        self.projection = nn.Linear(encoded_size, config.size)
        if config.pooling == "attentive":
            self.hidden = nn.Linear(encoded_size, config.size)
            self.score = nn.Linear(config.size, 1, bias=False)

    def forward(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """The only road from the encoder to a decoder without attention."""
        return torch.tanh(self.projection(self._pool(encoded, lengths)))

    def _pool(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        if self.pooling == "last":
            last = encoded[torch.arange(len(encoded), device=encoded.device), lengths - 1]  # (B, E)
            if not self.bidirectional:
                return last
            half = encoded.shape[2] // 2  # the backward direction ends at the first frame
            return torch.cat((last[:, :half], encoded[:, 0, half:]), dim=1)
        mask = length_mask(lengths, encoded.shape[1])  # (B, T')
        if self.pooling == "mean":
            weights = mask / lengths[:, None]
        else:
            scores = self.score(torch.tanh(self.hidden(encoded)))[..., 0]  # (B, T')
            weights = scores.float().masked_fill(~mask, float("-inf")).softmax(1)
        return torch.einsum("bt,bte->be", weights.to(encoded.dtype), encoded)
