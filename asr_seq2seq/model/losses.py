"""What training minimizes: cross entropy, CTC, guided attention, consistency regularization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchaudio.functional import forced_align

from asr_seq2seq.model.features import length_mask
from asr_seq2seq.text.tokenizer import PADDING

_SLACK = 2  # encoded frames beside a character's own that attention may look at


@dataclass(frozen=True)
class Outputs:
    """What the losses need of a teacher-forced pass over a batch.

    ``logits`` (B, U + 1, V) of the ``targets`` (B, U + 1), which end with the end symbol and are zero-padded;
    ``tokens`` (B, U) and ``token_lengths`` (B,); ``lengths`` (B,) of the encoded frames; ``ctc``
    log-probabilities (B, T', V) and ``attention`` (B, U + 1, T') where the network has them.
    """

    logits: Tensor
    targets: Tensor
    tokens: Tensor
    token_lengths: Tensor
    lengths: Tensor
    ctc: Tensor | None
    attention: Tensor | None

    @property
    def characters(self) -> Tensor:
        """The batch's characters, end symbols included (0-dimensional)."""
        return self.token_lengths.sum() + len(self.token_lengths)


@dataclass(frozen=True)
class Loss:
    """The weighted sum that is minimized and its parts, each per character (0-dimensional)."""

    total: Tensor
    decoder: Tensor
    ctc: Tensor


def weighted(
    outputs: Outputs, *, smoothing: float, ctc_weight: float, guidance_weight: float, consistency: float
) -> Loss:
    """The sum of all losses by their weights, each the mean over the batch's characters.

    Maximum likelihood by teacher forcing with label smoothing, plus CTC (Watanabe et al. 2017, section II-C).
    With a `consistency` above 0 the second half of the batch holds the utterances of the first again, and the
    total has that much of what the two disagree by. Guided attention is in the total alone.
    """
    decoder = cross_entropy(outputs, smoothing)
    total, ctc = decoder, torch.zeros_like(decoder)
    if outputs.ctc is not None:
        ctc = ctc_loss(outputs)
        total = (1 - ctc_weight) * decoder + ctc_weight * ctc
    if consistency:
        apart = disagreement(outputs.logits.float().log_softmax(-1), outputs.targets != PADDING)
        if outputs.ctc is not None:
            of_ctc = disagreement(outputs.ctc, length_mask(outputs.lengths, outputs.ctc.shape[1]))
            apart = (1 - ctc_weight) * apart + ctc_weight * of_ctc
        total = total + consistency * apart / outputs.characters
    if guidance_weight and outputs.ctc is not None and outputs.attention is not None:
        away = guidance(
            outputs.attention, outputs.ctc, outputs.lengths, outputs.tokens, outputs.token_lengths
        )
        total = total + guidance_weight * away / outputs.characters
    return Loss(total, decoder, ctc)


def cross_entropy(outputs: Outputs, smoothing: float = 0.0) -> Tensor:
    """-log p of the target characters, per character (0-dimensional)."""
    return functional.cross_entropy(
        outputs.logits.flatten(0, 1).float(),
        outputs.targets.flatten(),
        ignore_index=PADDING,
        label_smoothing=smoothing,
    )


def ctc_loss(outputs: Outputs) -> Tensor:
    """-log p of the texts by the CTC head (Graves et al. 2006), per character (0-dimensional)."""
    assert outputs.ctc is not None
    loss = functional.ctc_loss(
        outputs.ctc.transpose(0, 1),
        outputs.tokens,
        outputs.lengths,
        outputs.token_lengths,
        blank=PADDING,
        reduction="sum",
        zero_infinity=True,
    )
    return loss / outputs.characters


def disagreement(log_p: Tensor, mask: Tensor) -> Tensor:
    """How far the two distributions of each utterance are apart, summed over all true positions (0-dim.).

    Log-probabilities (2 B, T, V), the second pass behind the first, and mask (2 B, T). Each learns
    from the other, held fixed: KL(other || own) (of CTC, Yao et al. 2025, section 3.2; of a decoder, Wu et
    al. 2021, R-Drop).
    """
    other = log_p.detach().roll(len(log_p) // 2, 0)
    return (functional.kl_div(log_p, other, reduction="none", log_target=True).sum(-1) * mask).sum()


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
    """How far attention lies from where CTC aligns each character, summed over the batch (0-dim.).

    Attention (B, U + 1, T'), the head's log-probabilities (B, T', V), lengths (B,), characters (B, U),
    token_lengths (B,). Of each character it is -log of the attention within `_SLACK` frames of those of
    the forced alignment (after Inaguma and Kawahara 2021, section IV), weighed by exp of the alignment's
    log-probability per character: an encoder that has learned nothing yet gives no guidance. The end
    symbol is free, and so are texts that CTC cannot align.
    """
    # Alignment is many small steps, each of which would be a call on a GPU.
    log_p, texts = ctc.detach().cpu(), tokens.cpu()
    paths = torch.full(log_p.shape[:2], PADDING, dtype=torch.int32)
    for row, (frames, count) in enumerate(zip(lengths.tolist(), token_lengths.tolist(), strict=True)):
        path = best_path(log_p[row, :frames], texts[row, :count])
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
