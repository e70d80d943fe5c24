"""The whole network: sound -> features -> encoded -> context -> characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.config import DecoderConfig, RecognizerSettings
from asr_seq2seq.model.context import Context
from asr_seq2seq.model.decoder import Decoder, DotDecoder, FixedVectorDecoder, LocationDecoder
from asr_seq2seq.model.encoder import Encoder
from asr_seq2seq.model.features import build_features
from asr_seq2seq.model.losses import Loss, Outputs, weighted
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, START

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
        return self.encode_features(*self.features(sound, lengths))

    def encode_features(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        """Features (B, T, F) and their lengths (B,) -> the same."""
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
        sampling: float = 0.0,
        repeats: int = 1,
    ) -> Outputs:
        """A teacher-forced pass for `tokens` (B, U), zero-padded, without start and end.

        `sampling` is the share of the previous characters that the decoder reads from itself. With 2
        `repeats` each utterance is in the batch twice, masked, warped and dropped out differently.
        """
        if repeats > 1:
            sound, lengths, tokens, token_lengths = (
                torch.cat((part,) * repeats) for part in (sound, lengths, tokens, token_lengths)
            )
        encoded = self.encode(sound, lengths)
        inputs = functional.pad(tokens, (1, 0), value=START)  # (B, U + 1)
        if sampling:
            inputs = self._with_own_characters(inputs, encoded, sampling, repeats)
        targets = functional.pad(tokens, (0, 1)).scatter(1, token_lengths[:, None], END)
        logits, attention = self.decoder.forced(inputs, encoded.encoded, encoded.lengths, encoded.context)
        return Outputs(logits, targets, tokens, token_lengths, encoded.lengths, encoded.ctc, attention)

    def loss(
        self,
        sound: Tensor,
        lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        smoothing: float,
        sampling: float = 0.0,
        consistency: float = 0.0,
    ) -> Loss:
        """The loss of :meth:`forward`'s outputs by the network's weights; see :func:`losses.weighted`.

        Attention is guided in training alone.
        """
        outputs = self(sound, lengths, tokens, token_lengths, sampling, 2 if consistency else 1)
        return weighted(
            outputs,
            smoothing=smoothing,
            ctc_weight=self.ctc_weight,
            guidance_weight=self.guidance_weight if self.training else 0.0,
            consistency=consistency,
        )

    @torch.no_grad()
    def _with_own_characters(self, inputs: Tensor, encoded: Encoded, share: float, repeats: int) -> Tensor:
        """Inputs (B, U + 1) with a share of the characters drawn from the decoder's own distribution.

        That is the one after the true characters (scheduled sampling, Bengio et al. 2015, at all positions
        at once, Duckworth et al. 2019, section 3), so that no loop over time is needed. Repeated utterances
        read what was drawn for the first.
        """
        count = len(inputs) // repeats
        inputs, frames, lengths, context = (
            part[:count] for part in (inputs, encoded.encoded, encoded.lengths, encoded.context)
        )
        logits = self.decoder(inputs, frames, lengths, context)[:, :-1].float()
        characters = logits[..., FIRST_CHARACTER:].softmax(-1)  # (B, U, V - 4)
        drawn = characters.flatten(0, 1).multinomial(1).view_as(inputs[:, 1:]) + FIRST_CHARACTER
        own = torch.rand(drawn.shape, device=drawn.device) < share
        mixed = torch.cat((inputs[:, :1], torch.where(own, drawn, inputs[:, 1:])), dim=1)
        return mixed.repeat(repeats, 1)
