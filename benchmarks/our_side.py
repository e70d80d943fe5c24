"""The project's side of the benchmarks: its network, its search and its features at their sizes."""

from __future__ import annotations

from functools import partial

import torch
from benchmarking import Run, Sizes
from torch import Tensor, nn

from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.decoding.beam import search
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.model.features import LogMel
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.model.torch_backend import TorchAcousticModel, TorchEncoded
from asr_seq2seq.text.tokenizer import END
from asr_seq2seq.training_config import Config, validate

ATTENTIONS = ("dot", "location")
NEVER = -1e4  # bias of the end symbol, so that no text ends by itself


def our_config(sizes: Sizes, attention: str, ctc_weight: float) -> Config:
    """The settings of the project's network, which is given features, not sound."""
    units = sizes.units
    decoder = {"attention": attention, "units": units, "embedding": units, "attention_size": units}
    decoder |= {"location_channels": sizes.channels, "location_width": sizes.width}
    encoder = {"layers": [{"units": units, "reduction": 2}] * sizes.layers}
    model = {"encoder": encoder, "context": {"size": units}, "decoder": decoder, "ctc_weight": ctc_weight}
    features = {"kind": "precomputed", "size": sizes.mels, "normalization": "none"}
    return validate({"features": features, "model": model}, "the benchmark")


def our_network(sizes: Sizes, attention: str, ctc_weight: float, device: torch.device) -> Seq2Seq:
    """The project's network with random weights, which is given features, not sound."""
    return Seq2Seq(our_config(sizes, attention, ctc_weight), sizes.symbols).to(device)


@torch.no_grad()
def never_ends(output: nn.Module, end: int = END) -> None:
    """Keep a decoder with this output layer from ending a text by itself."""
    output.get_parameter("bias")[end] = NEVER


@torch.inference_mode()
def our_texts(model: Seq2Seq, frames: Tensor, ctc_weight: float, sizes: Sizes) -> list[list[tuple[int, ...]]]:
    """Encoded frames (B, T', E) -> the texts that the project finds for each utterance, best first."""
    lengths = torch.full((len(frames),), frames.shape[1], device=frames.device)
    ctc = model.ctc_head(frames).float().log_softmax(-1) if ctc_weight and model.ctc_head else None
    encoded = Encoded(frames, lengths, model.context(frames, lengths), ctc)
    return searched(model, encoded, sizes.beam, ctc_weight, sizes)


def searched(
    model: Seq2Seq, encoded: Encoded, beam: int, ctc_weight: float, sizes: Sizes
) -> list[list[tuple[int, ...]]]:
    """The texts of a search, all of `sizes.tokens` characters; the model never ends one by itself."""
    limit = (sizes.tokens - 0.5) / encoded.encoded.shape[1]  # is rounded up
    options = DecodingOptions(beam_size=beam, ctc_weight=ctc_weight, tokens_per_frame=limit)
    ctc = None if encoded.ctc is None else encoded.ctc.cpu().numpy()
    given = TorchEncoded(encoded, encoded.lengths.cpu().numpy(), ctc)
    rows = search(TorchAcousticModel(model), given, options)
    texts = [[found.tokens for found in row] for row in rows]
    assert {len(text) for row in texts for text in row} == {sizes.tokens}
    return texts


def our_log_mel(sizes: Sizes, sound: Tensor) -> Run:
    """Log-mel frames from sound (B, N), not normalized."""
    features = LogMel(LogMelConfig(sample_rate=sizes.sample_rate, mels=sizes.mels)).to(sound.device)
    return torch.inference_mode()(partial(features.log_mel, sound))


def some_sound(sizes: Sizes, device: torch.device) -> Tensor:
    """Noise (1, N) of `sizes.seconds`."""
    return 0.1 * torch.randn(1, round(sizes.seconds * sizes.sample_rate), device=device)
