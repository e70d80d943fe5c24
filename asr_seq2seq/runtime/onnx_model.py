"""A recognizer in onnxruntime: `AcousticModel` over two graphs, of the encoder and of a decoder's step.

The state stays as the step's graph returned it. `select` only notes which rows are continued, and the next
step's graph gathers them, so that no copy of the state is made outside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.config import RecognizerSettings
from asr_seq2seq.model_file.storage import ModelArrays
from asr_seq2seq.runtime.features import FrontEnd
from asr_seq2seq.runtime.graph_cache import cached_graph
from asr_seq2seq.runtime.protocol import Floats, Integers, rows_of
from asr_seq2seq.runtime.session import RuntimeOptions, Session
from asr_seq2seq.runtime.weights import decoder_weights, encoder_weights

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class OnnxEncoded:
    """Lengths (B,), CTC log-probabilities (B, T', V), context (B, D), and what the decoder keeps."""

    lengths: Integers
    ctc: Floats | None
    context: Floats
    memory: Arrays

    def keep(self, utterances: Integers) -> OnnxEncoded:
        """Only the utterances with these numbers, (B',)."""
        return OnnxEncoded(
            self.lengths[utterances],
            None if self.ctc is None else self.ctc[utterances],
            self.context[utterances],
            {name: part[utterances] for name, part in self.memory.items()},
        )


@dataclass(frozen=True)
class OnnxState:
    """The decoder's state: what is kept of each utterance, what each row carries, and the selected rows.

    `memory` has B utterances, `carried` a row for each hypothesis before; `rows` (R,) are the selected.
    """

    memory: Arrays
    carried: Arrays
    rows: Integers

    def select(self, rows: Integers) -> OnnxState:
        """The rows with these numbers, (R',): hypotheses reordered within their utterances."""
        return OnnxState(self.memory, self.carried, self.rows[rows])

    def keep(self, utterances: Integers) -> OnnxState:
        """Only the utterances with these numbers, (B',), each with all its rows."""
        batch = len(self.memory["gates"])
        before = len(next(iter(self.carried.values()))) // batch  # rows of each utterance
        count = len(self.rows) // batch
        places = self.rows[rows_of(utterances, count)] - np.repeat(utterances, count) * before
        return OnnxState(
            {name: part[utterances] for name, part in self.memory.items()},
            {name: part[rows_of(utterances, before)] for name, part in self.carried.items()},
            places + np.repeat(np.arange(len(utterances)), count) * before,
        )


class OnnxModel:
    """p(y | x) by two sessions of onnxruntime."""

    def __init__(self, model: ModelArrays[RecognizerSettings], options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        self.config = model.config
        self.vocabulary = len(model.alphabet)
        self.has_attention = model.config.model.decoder.attention != "none"
        self._location = model.config.model.decoder.attention == "location"
        self.front_end = FrontEnd(model.config.features, model.arrays)
        self._encoder = _session("encoder", model, options)
        self._step = _session("decoder", model, options)

    @property
    def seconds_per_frame(self) -> float:
        """Seconds from one encoded frame to the next."""
        layers = self.config.model.encoder.layers
        return self.front_end.frame_seconds * prod(layer.reduction for layer in layers)

    def features(self, inputs: Floats, lengths: Integers) -> tuple[Floats, Integers]:
        """Padded sound (B, N), or frames of another program (B, T, S), lengths (B,) -> (B, T, F), (B,)."""
        return self.front_end(inputs, lengths)

    def encode(self, features: Floats, lengths: Integers) -> OnnxEncoded:
        """Features (B, T, F) and their lengths (B,) -> all that decoding starts from."""
        found = self._encoder({"features": features, "lengths": lengths.astype(np.int64, copy=False)})
        encoded_lengths, context = found.pop("encoded_lengths"), found.pop("context")
        return OnnxEncoded(encoded_lengths, found.pop("ctc", None), context, found)

    def start(self, encoded: OnnxEncoded) -> OnnxState:
        """The state before the start symbol: the context in every layer, attention even over the frames."""
        batch = len(encoded.lengths)
        carried: Arrays = {}
        for name in self._step.inputs:
            if name.endswith((".h", ".c")):
                carried[name] = encoded.context
            elif name == "attended":
                carried[name] = np.zeros((batch, encoded.memory["gates"].shape[2]), np.float32)
            elif name == "weights":
                mask = np.exp(encoded.memory["closed"][:, 0])
                carried[name] = mask / mask.sum(1, keepdims=True)
        return OnnxState(encoded.memory, carried, np.arange(batch))

    def step(
        self, state: OnnxState, tokens: Integers, *, attention: bool = False
    ) -> tuple[Floats, Floats | None, OnnxState]:
        """The last tokens (R,) -> logits (R, V), attention weights (R, T') where asked for, the new state."""
        batch = len(state.memory["gates"])
        shape = (batch, len(tokens) // batch)
        given = {"tokens": tokens.reshape(shape), "rows": state.rows.reshape(shape)}
        after = self._step(given | state.memory | state.carried)
        logits = after["logits"].reshape(len(tokens), -1)
        carried = {name: after[f"{name}.next"].reshape(len(tokens), -1) for name in state.carried}
        weights = None
        if attention and self.has_attention:
            weights = after["weights.next"] if self._location else after["weights.next"].transpose(0, 2, 1)
            weights = weights.reshape(len(tokens), -1)
        return logits, weights, OnnxState(state.memory, carried, np.arange(len(tokens)))


def _session(kind: str, model: ModelArrays[RecognizerSettings], options: RuntimeOptions) -> Session:
    config = model.config
    make = encoder_weights if kind == "encoder" else decoder_weights
    weights = make(model.arrays, config, options.quantizer)

    def build() -> bytes:
        from asr_seq2seq.runtime import onnx_graph

        graph = onnx_graph.encoder_graph if kind == "encoder" else onnx_graph.decoder_graph
        return graph(config, weights)

    graph = cached_graph(kind, config.model_dump_json(include={"model"}), weights, build)
    return Session(graph, weights, options)
