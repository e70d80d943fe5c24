"""The whole network: sound -> features -> encoded -> context -> characters, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.config import DecoderConfig, RecognizerSettings
from asr_seq2seq.model.context import Context
from asr_seq2seq.model.ctc import guidance
from asr_seq2seq.model.decoder import Decoder, DotDecoder, FixedVectorDecoder, LocationDecoder
from asr_seq2seq.model.encoder import Encoder
from asr_seq2seq.model.features import build_features, length_mask
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, PADDING, START

_DECODERS: dict[str, Callable[[DecoderConfig, int, int], Decoder]] = {
    "none": FixedVectorDecoder,
    "dot": DotDecoder,
    "location": LocationDecoder,
}


@dataclass(frozen=True)
class Encoded:
    """encoded (B, T', E), lengths (B,), context (B, D), and CTC log-probabilities (B, T', V) if any."""

    encoded: Tensor
    lengths: Tensor
    context: Tensor
    ctc: Tensor | None


@dataclass(frozen=True)
class Loss:
    """The weighted sum that is minimized and its parts, each per character (0-dimensional)."""

    total: Tensor
    decoder: Tensor
    ctc: Tensor


class Seq2Seq(nn.Module):
    """p(y | x): pyramidal encoder, context vector, character decoder, CTC head on the encoder."""

    def __init__(self, config: RecognizerSettings, vocabulary: int) -> None:
        super().__init__()
        model = config.model
        self.ctc_weight = model.ctc_weight
        self.guidance_weight = model.guidance_weight
        self.features = build_features(config.features)
        self.encoder = Encoder(model.encoder, self.features.size)
        self.context = Context(model.context, self.encoder.size, model.encoder.bidirectional)
        self.decoder = _DECODERS[model.decoder.attention](model.decoder, self.encoder.size, vocabulary)
        self.ctc_head = nn.Linear(self.encoder.size, vocabulary) if model.ctc_weight else None

    @property
    def seconds_per_frame(self) -> float:
        """How far apart two encoded frames are."""
        return self.features.frame_seconds * self.encoder.reduction

    def encode(self, sound: Tensor, lengths: Tensor) -> Encoded:
        """Padded sound (B, N), or features computed before, and lengths (B,) -> all that a search needs."""
        features, feature_lengths = self.features(sound, lengths)
        encoded, encoded_lengths = self.encoder(features, feature_lengths)
        context = self.context(encoded, encoded_lengths)
        ctc = self.ctc_head(encoded).float().log_softmax(-1) if self.ctc_head is not None else None
        return Encoded(encoded, encoded_lengths, context, ctc)

    @torch.inference_mode()
    def attention(self, encoded: Encoded, texts: Sequence[Sequence[int]]) -> list[Tensor] | None:
        """Where the decoder looks as it writes each text: (U + 1, T'), its end last, the mean over heads.

        None where the decoder has no attention.
        """
        tokens = pad_sequence([torch.tensor([START, *text]) for text in texts], batch_first=True)
        tokens = tokens.to(encoded.encoded.device)
        _, weights = self.decoder.forced(tokens, encoded.encoded, encoded.lengths, encoded.context)
        if weights is None:
            return None
        frames = encoded.lengths.tolist()
        return [
            row[: len(text) + 1, :count].float().cpu()
            for row, text, count in zip(weights, texts, frames, strict=True)
        ]

    def forward(
        self,
        sound: Tensor,
        lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        smoothing: float,
        sampling: float = 0.0,
        consistency: float = 0.0,
    ) -> Loss:
        """The loss of characters `tokens` (B, U), zero-padded, without start and end symbols.

        Maximum likelihood by teacher forcing with label smoothing, plus CTC (Watanabe et al. 2017,
        section II-C). `sampling` is the share of the characters before that the decoder reads from
        itself. With a `consistency` above 0, each utterance is heard twice, masked, warped and dropped out
        differently, and the total has that much of what the two hearings disagree by. In training there is
        the guidance of attention by CTC, also in the total alone. Each part is the mean over the batch's
        characters, end symbols included.
        """
        if consistency:
            sound, lengths, tokens, token_lengths = (
                torch.cat((part, part)) for part in (sound, lengths, tokens, token_lengths)
            )
        encoded = self.encode(sound, lengths)
        inputs = functional.pad(tokens, (1, 0), value=START)  # (B, U + 1)
        if sampling:
            inputs = self._with_own_characters(inputs, encoded, sampling, 2 if consistency else 1)
        targets = functional.pad(tokens, (0, 1)).scatter(1, token_lengths[:, None], END)
        logits, looked = self.decoder.forced(inputs, encoded.encoded, encoded.lengths, encoded.context)
        decoder = functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PADDING, label_smoothing=smoothing
        )
        characters = token_lengths.sum() + len(token_lengths)
        apart = torch.zeros_like(decoder)
        if consistency:
            apart = disagreement(logits.float().log_softmax(-1), targets != PADDING)
        if encoded.ctc is None:
            return Loss(decoder + consistency * apart / characters, decoder, torch.zeros_like(decoder))
        ctc = (
            functional.ctc_loss(
                encoded.ctc.transpose(0, 1),
                tokens,
                encoded.lengths,
                token_lengths,
                blank=PADDING,
                reduction="sum",
                zero_infinity=True,
            )
            / characters
        )
        total = (1 - self.ctc_weight) * decoder + self.ctc_weight * ctc
        if consistency:
            of_ctc = disagreement(encoded.ctc, length_mask(encoded.lengths, encoded.ctc.shape[1]))
            apart = (1 - self.ctc_weight) * apart + self.ctc_weight * of_ctc
            total = total + consistency * apart / characters
        if self.training and self.guidance_weight and looked is not None:
            away = guidance(looked, encoded.ctc, encoded.lengths, tokens, token_lengths)
            total = total + self.guidance_weight * away / characters
        return Loss(total, decoder, ctc)

    @torch.no_grad()
    def _with_own_characters(self, inputs: Tensor, encoded: Encoded, share: float, hearings: int) -> Tensor:
        """Inputs (B, U + 1) with a share of the characters drawn from what the decoder thinks of each place.

        It thinks so after the true characters (scheduled sampling, Bengio et al. 2015, with all places
        at once, Duckworth et al. 2019, section 3), so that no loop over time is needed. Further hearings of
        the same utterances read what the first drew.
        """
        count = len(inputs) // hearings
        inputs, frames, lengths, context = (
            part[:count] for part in (inputs, encoded.encoded, encoded.lengths, encoded.context)
        )
        logits = self.decoder(inputs, frames, lengths, context)[:, :-1].float()
        characters = logits[..., FIRST_CHARACTER:].softmax(-1)  # (B, U, V - 4)
        drawn = characters.flatten(0, 1).multinomial(1).view_as(inputs[:, 1:]) + FIRST_CHARACTER
        own = torch.rand(drawn.shape, device=drawn.device) < share
        mixed = torch.cat((inputs[:, :1], torch.where(own, drawn, inputs[:, 1:])), dim=1)
        return mixed.repeat(hearings, 1)


def disagreement(log_p: Tensor, mask: Tensor) -> Tensor:
    """How far two hearings of each utterance are apart, summed over both and all true places (0-dim.).

    Log-probabilities (2 B, T, V), the second hearings behind the first, and mask (2 B, T). Each learns
    from the other, held fixed: KL(other || own) (of CTC, Yao et al. 2025, section 3.2; of a decoder, Wu et
    al. 2021, R-Drop).
    """
    other = log_p.detach().roll(len(log_p) // 2, 0)
    return (functional.kl_div(log_p, other, reduction="none", log_target=True).sum(-1) * mask).sum()
