"""The PyTorch model behind the protocol of decoding, for scoring in training and for GPUs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asr_seq2seq.model import seq2seq
from asr_seq2seq.model.decoder import State
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.files import build_network
from asr_seq2seq.model.forking import note_computation
from asr_seq2seq.model.language_model import LanguageModel, LanguageModelState
from asr_seq2seq.model_file.acoustic import AcousticArrays
from asr_seq2seq.model_file.language import LanguageModelArrays
from asr_seq2seq.runtime.protocol import Floats, Integers
from asr_seq2seq.runtime.session import RuntimeOptions


@dataclass(frozen=True)
class TorchEncoded:
    """On the model's device; lengths (B,) and CTC log-probabilities (B, T', V) in NumPy."""

    encoded: seq2seq.Encoded
    lengths: Integers
    ctc: Floats | None

    def keep(self, utterances: Integers) -> TorchEncoded:
        """Only the utterances with these numbers, (B',)."""
        of, kept = self.encoded, torch.from_numpy(utterances).to(self.encoded.encoded.device)
        parts = (of.encoded[kept], of.lengths[kept], of.context[kept])
        encoded = seq2seq.Encoded(*parts, None if of.ctc is None else of.ctc[kept])
        ctc = None if self.ctc is None else self.ctc[utterances]
        return TorchEncoded(encoded, self.lengths[utterances], ctc)


@dataclass(frozen=True)
class TorchState:
    """A decoder's state, or a language model's, on the model's device."""

    state: State

    def select(self, rows: Integers) -> TorchState:
        """The rows with these numbers, (R',)."""
        return TorchState(self.state.select(self._on_device(rows)))

    def keep(self, utterances: Integers) -> TorchState:
        """Only the utterances with these numbers, (B',), each with all its rows."""
        return TorchState(self.state.keep(self._on_device(utterances)))

    def _on_device(self, numbers: Integers) -> Tensor:
        return torch.from_numpy(numbers).to(self.state.context.device)


class TorchAcousticModel:
    """`AcousticModel` over a `Seq2Seq` in evaluation mode, on whatever device it is."""

    def __init__(self, model: seq2seq.Seq2Seq) -> None:
        self.model = model
        self.vocabulary = model.decoder.vocabulary
        self.has_attention = hasattr(model.decoder, "attention")
        self.seconds_per_frame = model.seconds_per_frame
        self.device = model.decoder.output.weight.device

    @torch.inference_mode()
    def features(self, inputs: Floats, lengths: Integers) -> tuple[Tensor, Integers]:
        """Padded sound (B, N), or frames of another program (B, T, S), lengths (B,) -> (B, T, F), (B,)."""
        note_computation()
        sound, counts = (torch.from_numpy(part).to(self.device) for part in (inputs, lengths))
        features, feature_lengths = self.model.features(sound, counts)
        return features, feature_lengths.cpu().numpy()

    @torch.inference_mode()
    def encode(self, features: Tensor | Floats, lengths: Integers) -> TorchEncoded:
        """Features (B, T, F) and their lengths (B,) -> all that decoding starts from."""
        given = features if isinstance(features, Tensor) else torch.from_numpy(features)
        encoded = self.model.encode_features(given.to(self.device), torch.from_numpy(lengths).to(self.device))
        ctc = None if encoded.ctc is None else encoded.ctc.cpu().numpy()
        return TorchEncoded(encoded, encoded.lengths.cpu().numpy(), ctc)

    @torch.inference_mode()
    def start(self, encoded: TorchEncoded) -> TorchState:
        """The state before the start symbol, with B x 1 rows."""
        of = encoded.encoded
        return TorchState(self.model.decoder.start(of.encoded, of.lengths, of.context))

    @torch.inference_mode()
    def step(
        self, state: TorchState, tokens: Integers, *, attention: bool = False
    ) -> tuple[Floats, Floats | None, TorchState]:
        """The last tokens (R,) -> logits (R, V), attention weights (R, T') where asked for, the new state."""
        logits, after = self.model.decoder.step(torch.from_numpy(tokens).to(self.device), state.state)
        weights = None
        if attention and after.weights is not None:
            weights = after.weights.float().cpu().numpy()
        return logits.float().cpu().numpy(), weights, TorchState(after)


@dataclass(frozen=True)
class TorchTextState:
    """A language model's state on its device."""

    state: LanguageModelState

    def select(self, rows: Integers) -> TorchTextState:
        """The rows with these numbers, (R',)."""
        return TorchTextState(self.state.select(torch.from_numpy(rows).to(self.state.symbols.device)))


class TorchLanguageModel:
    """The protocol's `LanguageModel` over one in PyTorch, in evaluation mode."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @torch.inference_mode()
    def start(self, batch: int) -> TorchTextState:
        """The state of `batch` empty texts, before the start symbol."""
        return TorchTextState(self.model.start(batch))

    @torch.inference_mode()
    def step(self, state: TorchTextState, tokens: Integers) -> tuple[Floats, TorchTextState]:
        """The last tokens (R,) -> log-probabilities (R, V) of the next ones, and the state after them."""
        device = self.model.output.weight.device
        log_p, after = self.model.step(torch.from_numpy(np.ascontiguousarray(tokens)).to(device), state.state)
        return log_p.cpu().numpy(), TorchTextState(after)


def acoustic_model(arrays: AcousticArrays, options: RuntimeOptions) -> TorchAcousticModel:
    """The recognizer of a model file on the device of `options`; ConfigError for one that is not here."""
    return TorchAcousticModel(build_network(arrays, seq2seq.Seq2Seq, _device(options)))


def language_model(arrays: LanguageModelArrays, options: RuntimeOptions) -> TorchLanguageModel:
    """The language model of a model file, likewise."""
    return TorchLanguageModel(build_network(arrays, LanguageModel, _device(options)))


def _device(options: RuntimeOptions) -> torch.device:
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return pick_device(options.device)
