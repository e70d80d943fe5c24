"""Guided attention: what a CTC head knows of time teaches attention where to look."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchaudio.functional import forced_align

from asr_seq2seq.text.tokenizer import PADDING

_SLACK = 2  # encoded frames beside a character's own that attention may look at


def best_path(log_probabilities: Tensor, tokens: Tensor) -> Tensor | None:
    """CTC log-probabilities (T, V), characters (U,) -> the symbol (T,) of each frame on the best path.

    None where the frames are too few for the characters, which CTC then cannot align.
    """
    repeats = int((tokens[1:] == tokens[:-1]).sum())
    if not len(tokens) or len(tokens) + repeats > len(log_probabilities):
        return None
    paths: Tensor = forced_align(log_probabilities[None], tokens[None].int(), blank=PADDING)[0]
    return paths[0]


def beginnings(paths: Tensor) -> Tensor:
    """Paths (.., T) -> (.., T), true where a character's first frame is."""
    return (paths != PADDING) & (paths != functional.pad(paths, (1, 0), value=PADDING)[..., :-1])


def guidance(weights: Tensor, ctc: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
    """How far attention looks away from where CTC aligns each character, summed over the batch (0-dim.).

    Attention (B, U + 1, T'), the head's log-probabilities (B, T', V), lengths (B,), characters (B, U),
    token_lengths (B,). Of each character it is -log of the attention within `_SLACK` frames of those of
    the forced alignment (after Inaguma and Kawahara 2021, section IV), weighed by exp of the alignment's
    log-probability per character: an encoder that has learned nothing yet gives no guidance. The end
    symbol is free, and so are texts that CTC cannot align.
    """
    # Alignment is many small steps, each of which would be a call on a GPU.
    heard, texts = ctc.detach().cpu(), tokens.cpu()
    paths = torch.full(heard.shape[:2], PADDING, dtype=torch.int32)
    for row, (frames, count) in enumerate(zip(lengths.tolist(), token_lengths.tolist(), strict=True)):
        path = best_path(heard[row, :frames], texts[row, :count])
        if path is not None:
            paths[row, :frames] = path
    paths = paths.to(weights.device).long()
    spoken, begins = paths != PADDING, beginnings(paths)
    which = (begins.cumsum(1) - 1).clamp_min(0)  # (B, T'): whose frame it is
    near = torch.zeros_like(weights).scatter_(1, which[:, None], spoken[:, None].to(weights.dtype))
    near = functional.max_pool1d(near, 2 * _SLACK + 1, stride=1, padding=_SLACK)  # (B, U + 1, T')
    likely = ctc.detach().gather(2, paths[..., None])[..., 0] * begins  # (B, T')
    trust = (likely.sum(1) / begins.sum(1).clamp_min(1)).exp()
    inside = (weights * near).sum(2)[:, :-1]  # (B, U)
    guided = near[:, :-1].any(2)
    return -(inside.clamp_min(1e-6).log() * guided * trust[:, None]).sum()
