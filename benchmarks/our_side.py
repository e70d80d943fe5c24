"""The project's side of the benchmarks: its network, its search and its features at their sizes."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from benchmarking import Run, Sizes
from torch import Tensor, nn

from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.decoding.beam import search
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.model.features import LogMel
from asr_seq2seq.model.files import ModelFile
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.model.torch_backend import TorchAcousticModel, TorchEncoded
from asr_seq2seq.runtime import features as runtime_features
from asr_seq2seq.runtime.onnx_model import OnnxEncoded, OnnxModel
from asr_seq2seq.runtime.protocol import AcousticModel
from asr_seq2seq.runtime.protocol import Encoded as AnyEncoded
from asr_seq2seq.runtime.session import RuntimeOptions
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, Alphabet
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


def our_runtime(model: Seq2Seq, config: Config, vocabulary: int, compute_type: str = "float32") -> OnnxModel:
    """The same network in onnxruntime, which is what recognizes where nothing else is asked for."""
    alphabet = Alphabet("".join(chr(ord("A") + place) for place in range(vocabulary - FIRST_CHARACTER)))
    arrays = ModelFile(model, config, alphabet, Normalizer.named("none")).arrays()
    return OnnxModel(arrays, RuntimeOptions(compute_type, torch.get_num_threads(), device="cpu"))


@torch.inference_mode()
def our_texts(model: Seq2Seq, frames: Tensor, ctc_weight: float, sizes: Sizes) -> list[list[tuple[int, ...]]]:
    """Encoded frames (B, T', E) -> the texts that PyTorch's search finds for each, best first."""
    encoded = _given(model, frames, ctc_weight)
    return searched(model, encoded, sizes.beam, ctc_weight, sizes)


@torch.inference_mode()
def our_runtime_texts(
    model: Seq2Seq, runtime: OnnxModel, encoded: OnnxEncoded, frames: Tensor, ctc_weight: float, sizes: Sizes
) -> list[list[tuple[int, ...]]]:
    """The same by onnxruntime: `encoded` is what its encoder gave for as many frames.

    The encoder's graph also makes what a search starts from. That is part of the work of all sides, so
    PyTorch makes it here once more from the frames, and what it makes is thrown away.
    """
    given = _given(model, frames, ctc_weight)
    model.decoder.start(given.encoded, given.lengths, given.context)
    return _texts(runtime, encoded, sizes.beam, ctc_weight, sizes)


def _given(model: Seq2Seq, frames: Tensor, ctc_weight: float) -> Encoded:
    """All that a search is given beside encoded frames (B, T', E)."""
    lengths = torch.full((len(frames),), frames.shape[1], device=frames.device)
    ctc = model.ctc_head(frames).float().log_softmax(-1) if ctc_weight and model.ctc_head else None
    return Encoded(frames, lengths, model.context(frames, lengths), ctc)


def searched(
    model: Seq2Seq, encoded: Encoded, beam: int, ctc_weight: float, sizes: Sizes
) -> list[list[tuple[int, ...]]]:
    """The texts of a search by PyTorch, all of `sizes.tokens` characters; no text ends by itself."""
    ctc = None if encoded.ctc is None else encoded.ctc.cpu().numpy()
    given = TorchEncoded(encoded, encoded.lengths.cpu().numpy(), ctc)
    return _texts(TorchAcousticModel(model), given, beam, ctc_weight, sizes)


def _texts(
    model: AcousticModel, encoded: AnyEncoded, beam: int, ctc_weight: float, sizes: Sizes
) -> list[list[tuple[int, ...]]]:
    limit = (sizes.tokens - 0.5) / int(encoded.lengths[0])  # is rounded up
    options = DecodingOptions(beam_size=beam, ctc_weight=ctc_weight, tokens_per_frame=limit)
    texts = [[found.tokens for found in row] for row in search(model, encoded, options)]
    assert {len(text) for row in texts for text in row} == {sizes.tokens}
    return texts


def our_log_mel(sizes: Sizes, sound: Tensor) -> Run:
    """Log-mel frames from sound (B, N), not normalized."""
    features = LogMel(LogMelConfig(sample_rate=sizes.sample_rate, mels=sizes.mels)).to(sound.device)
    return torch.inference_mode()(partial(features.log_mel, sound))


def our_runtime_log_mel(sizes: Sizes, sound: Tensor) -> Run:
    """The same by NumPy, which recognizes unless PyTorch is asked for."""
    features = runtime_features.LogMel(LogMelConfig(sample_rate=sizes.sample_rate, mels=sizes.mels))
    return partial(features, sound.numpy(), np.full(len(sound), sound.shape[1]))


def some_sound(sizes: Sizes, device: torch.device) -> Tensor:
    """Noise (1, N) of `sizes.seconds`."""
    return 0.1 * torch.randn(1, round(sizes.seconds * sizes.sample_rate), device=device)
