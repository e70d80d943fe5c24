"""A recognizer in ONNX form: what `export` wrote, run by onnxruntime on the CPU.

`OnnxModel` stands where a `Seq2Seq` stands in a search: the same `encode`, `decoder.start`,
`decoder.step` and `attention`, so that search, times and confidence are the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.config import Config, LogMelConfig
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.model.decoder import hypotheses_of
from asr_seq2seq.model.seq2seq import Encoded
from asr_seq2seq.onnx_file import check_graph, missing_extra
from asr_seq2seq.text.tokenizer import START

_MEMORY = ("context", "keys", "values", "closed")  # one for each utterance, not for each hypothesis


@dataclass(frozen=True)
class OnnxState:
    """What a decoder carries from step to step, as its graphs name it.

    `fixed` is one for each utterance (B), `carried` has a row for each hypothesis (N).
    """

    fixed: dict[str, Tensor]
    carried: dict[str, Tensor]

    @property
    def memory(self) -> dict[str, Tensor] | None:
        """What attention looks things up in; None where there is no attention."""
        return self.fixed if "keys" in self.fixed else None

    @property
    def weights(self) -> Tensor | None:
        """Where attention looked last, (N, T'), the mean over heads."""
        return self.carried.get("weights")

    def select(self, rows: Tensor) -> OnnxState:
        """The hypotheses with these row numbers, (N',), which stay utterance-major."""
        carried = {
            name: part[:, :, rows] if name.startswith("recurrent") else part[rows]
            for name, part in self.carried.items()
        }
        return replace(self, carried=carried)

    def keep(self, utterances: Tensor) -> OnnxState:
        """These utterances, (B',), alone, with all their hypotheses."""
        batch, rows = len(self.fixed["context"]), self.carried["recurrent_0"].shape[2]
        kept = self.select(hypotheses_of(utterances, rows // batch))
        return replace(kept, fixed={name: part[utterances] for name, part in self.fixed.items()})


class _Session:
    """One graph: tensors in by name, tensors out by name."""

    def __init__(self, graph: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.outputs = [value.name for value in self.session.get_outputs()]
        self.width = self.session.get_outputs()[0].shape[-1] if self.outputs[:1] == ["logits"] else None

    def __call__(self, **tensors: Tensor) -> dict[str, Tensor]:
        given = {name: tensors[name].numpy() for name in self.inputs}
        results = self.session.run(self.outputs, given)
        return dict(zip(self.outputs, map(torch.from_numpy, results), strict=True))


class OnnxDecoder:
    """`start` and `step` of a decoder, as `model.decoder.Decoder` has them."""

    def __init__(self, start: _Session, step: _Session, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self._start = start
        self._step = step

    def start(self, encoded: Tensor, lengths: Tensor, context: Tensor) -> OnnxState:
        """Encoded (B, T', E), lengths (B,), context (B, D) -> the state before the start symbol, K = 1."""
        state = self._start(encoded=encoded, encoded_lengths=lengths, encoded_context=context)
        fixed = {name: state.pop(name) for name in _MEMORY if name in state}
        return OnnxState(fixed, state)

    def step(self, tokens: Tensor, state: OnnxState) -> tuple[Tensor, OnnxState]:
        """The last tokens (N,) -> logits (N, V) of the next ones, and the state after them."""
        after = self._step(tokens=tokens, **state.fixed, **state.carried)
        logits = after.pop("logits")
        return logits, replace(state, carried={name.removesuffix("_next"): after[name] for name in after})


class OnnxModel(nn.Module):
    """p(y | x) by three sessions of onnxruntime, in as many threads as torch has; without parameters."""

    def __init__(self, path: Path, graphs: Sequence[bytes], config: Config, vocabulary: int) -> None:
        """The graphs of `path`, in the order of `GRAPHS`; ModelFileError where these are none, or others."""
        super().__init__()
        try:
            import onnx  # noqa: F401
            from onnxruntime.capi import onnxruntime_pybind11_state as reasons
        except ModuleNotFoundError:
            raise missing_extra() from None
        for graph in graphs:
            check_graph(path, graph)
        unloadable = (
            *(reasons.InvalidProtobuf, reasons.InvalidGraph, reasons.InvalidArgument, reasons.Fail),
            *(reasons.NotImplemented, reasons.RuntimeException),
            UnicodeDecodeError,  # of a name in the graph that its message quotes
        )
        try:
            self._encoder, start, step = (_Session(graph, torch.get_num_threads()) for graph in graphs)
        except unloadable:
            raise ModelFileError(f"{path}: onnxruntime cannot load its graphs; export it again") from None
        if (
            "encoded" not in self._encoder.outputs
            or "context" not in start.outputs
            or step.width != vocabulary
        ):
            raise ModelFileError(f"{path}: its graphs are not the graphs that it describes; export it again")
        self.decoder = OnnxDecoder(start, step, vocabulary)
        self.config = config

    @property
    def seconds_per_frame(self) -> float:
        """How far apart two encoded frames are."""
        features = self.config.features
        hop = features.hop_seconds
        if isinstance(features, LogMelConfig):
            hop = round(hop * features.sample_rate) / features.sample_rate
        return hop * prod(layer.reduction for layer in self.config.model.encoder.layers)

    def encode(self, sound: Tensor, lengths: Tensor) -> Encoded:
        """Padded sound (B, N), or features computed before, and lengths (B,) -> all that a search needs."""
        found = self._encoder(sound=sound.float(), frames=sound.float(), lengths=lengths)
        return Encoded(found["encoded"], found["encoded_lengths"], found["context"], found.get("ctc"))

    def attention(self, encoded: Encoded, texts: Sequence[Sequence[int]]) -> list[Tensor] | None:
        """Where the decoder looks as it writes each text: (U + 1, T'), its end last, the mean over heads.

        None where the decoder has no attention.
        """
        tokens = pad_sequence([torch.tensor([START, *text]) for text in texts], batch_first=True)
        state = self.decoder.start(encoded.encoded, encoded.lengths, encoded.context)
        looked = []
        for column in tokens.unbind(1):
            _, state = self.decoder.step(column, state)
            if state.weights is None:
                return None
            looked.append(state.weights)
        weights = torch.stack(looked, dim=1)  # (B, U + 1, T')
        frames = encoded.lengths.tolist()
        return [row[: len(text) + 1, :count] for row, text, count in zip(weights, texts, frames, strict=True)]
