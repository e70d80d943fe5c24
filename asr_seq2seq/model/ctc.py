"""What a CTC head knows of time: when each character comes, and how that teaches attention to look there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torchaudio.functional import forced_align

from asr_seq2seq.text import PADDING

_SLACK = 2  # encoded frames beside a character's own that attention may look at


def character_frames(log_probabilities: Tensor, tokens: Sequence[int]) -> list[tuple[int, int]] | None:
    """CTC log-probabilities (T, V), characters (U,) -> (first, last + 1) frame of each character.

    None where the frames are too few for the characters, which CTC then cannot align.
    """
    repeats = sum(a == b for a, b in pairwise(tokens))
    if not tokens or len(tokens) + repeats > len(log_probabilities):
        return None
    targets = torch.tensor([tokens], dtype=torch.int32, device=log_probabilities.device)
    (path,), _ = forced_align(log_probabilities[None].contiguous(), targets, blank=PADDING)
    spans: list[tuple[int, int]] = []
    last = PADDING
    for frame, token in enumerate(path.tolist()):
        if token == PADDING:
            last = PADDING
        elif token == last:
            spans[-1] = (spans[-1][0], frame + 1)
        else:
            spans.append((frame, frame + 1))
            last = token
    return spans


def guidance(weights: Tensor, ctc: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
    """How far attention looks away from where CTC hears each character, summed over the batch (0-dim.).

    Attention (B, U + 1, T'), the head's log-probabilities (B, T', V), lengths (B,), characters (B, U),
    token_lengths (B,). Of each character it is -log of the attention within `_SLACK` frames of those of
    the forced alignment (after Inaguma and Kawahara 2021, section IV), weighed by exp of the alignment's
    log-probability per character: an encoder that has learnt nothing yet gives no guidance. The end
    symbol is free, and so are texts that CTC cannot align.
    """
    # All but the last sums is done on the processor: on a GPU each of these small steps is a call.
    near, trust, heard = torch.zeros(weights.shape), torch.zeros(len(weights)), ctc.detach().cpu()
    texts = tokens.tolist()
    for row, (frames, count) in enumerate(zip(lengths.tolist(), token_lengths.tolist(), strict=True)):
        text = texts[row][:count]
        found = character_frames(heard[row, :frames], text)
        if found is None:
            continue
        for place, (first, last) in enumerate(found):
            near[row, place, max(0, first - _SLACK) : last + _SLACK] = 1
        likely = [heard[row, begin, token] for (begin, _), token in zip(found, text, strict=True)]
        trust[row] = torch.stack(likely).mean().exp()
    near, trust = near.to(weights.device), trust.to(weights.device)
    inside = (weights * near).sum(2)[:, :-1]  # (B, U)
    guided = near[:, :-1].any(2)
    return -(inside.clamp_min(1e-6).log() * guided * trust[:, None]).sum()
