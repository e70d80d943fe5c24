"""Write a recognizer for onnxruntime: three graphs and a description in one file.

The graphs are put together from the weights, operator by operator, and not traced: batch and length
stay free, and what the network does to lengths is done by the operators themselves. A bidirectional
ONNX LSTM with `sequence_lens` reads each sequence from its own true end, as our encoder does.

- `encoder.onnx`: sound (or frames of another program) and lengths -> encoded, lengths, context, CTC.
- `decoder_start.onnx`: encoded, lengths, context -> the state before the start symbol, K = 1.
- `decoder_step.onnx`: the last tokens and that state -> logits and the state after them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asr_seq2seq.config import LogMelConfig, PrecomputedConfig
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.files import temporary_folder
from asr_seq2seq.model.context import Context
from asr_seq2seq.model.decoder import DotDecoder, FixedVectorDecoder, LocationDecoder
from asr_seq2seq.model.encoder import PyramidLayer
from asr_seq2seq.model.features import EPSILON, LEVEL, Features, LogMel
from asr_seq2seq.model.files import ModelFile, describe
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.onnx_file import FORMAT, missing_extra, write_archive

OPSET = 17
# Where torch's gates stand in ONNX's order: i o f c of i f g o; z r h of r z n.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
# What int8 takes up: of a GRU and a plain RNN onnxruntime knows no such form.
_QUANTIZED = ["LSTM", "MatMul"]


def export_model(path: Path, recognizer: ModelFile, *, int8: bool = False) -> None:
    """Write the ONNX form of a recognizer to `path`, all or nothing.

    With `int8` the matrices of LSTM and linear layers are stored in 8 bits, and what they are multiplied
    with is rounded to 8 bits as it comes (dynamic quantization). ModelFileError where the model is an
    ONNX form already, or the packages of the extra `onnx` are missing.
    """
    model = recognizer.model
    if not isinstance(model, Seq2Seq):
        raise ModelFileError("this model is in ONNX form already; export the .safetensors file it came from")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError:
        raise missing_extra() from None
    graphs = [_encoder(model), _decoder_start(model), _decoder_step(model)]
    description = describe(
        FORMAT, recognizer.config, recognizer.alphabet, recognizer.normalizer, recognizer.provenance
    ) | {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights": "int8" if int8 else "float32",
    }
    write_archive(path, description, [_quantized(graph) if int8 else graph for graph in graphs])


def _quantized(graph: bytes) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType, quant_utils, quantize_dynamic

    model = onnx.load_from_string(graph)
    quant_utils.add_pre_process_metadata(model)  # else it warns; its preparations change nothing here
    with temporary_folder(of_libraries=True) as folder:
        path = folder / "graph.onnx"
        quantize_dynamic(
            model, path, per_channel=True, weight_type=QuantType.QUInt8, op_types_to_quantize=_QUANTIZED
        )
        model = onnx.load(path)
    for constant in model.graph.initializer:
        _make_unsigned(constant)
    return bytes(model.SerializeToString())


def _make_unsigned(constant: Any) -> None:
    """Write signed bytes, of weights or of their zero points, as unsigned ones that mean the same.

    Where weights are signed, onnxruntime adds two products in 16 bits on a processor without VNNI, which
    saturates; the file must be right on every processor. Its quantizer makes those of an LSTM signed.
    """
    from onnx import TensorProto, numpy_helper

    if constant.data_type == TensorProto.INT8:
        values = numpy_helper.to_array(constant).astype(np.int16) + 128
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.uint8), constant.name))


class _Graph:
    """An ONNX graph that grows by one operator at a time; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, dtype: type[np.generic], *shape: int | str) -> str:
        """A value that is given, with its shape: numbers, and names for what is free."""
        self.inputs.append(_value(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: type[np.generic], *shape: int | str) -> None:
        """Make a value a result of this name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(_value(name, dtype, shape))

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """A weight, or a number."""
        from onnx import numpy_helper

        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.array(value)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64), np.int64)

    def __call__(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Apply an operator; the name of its result, or their list where there are several."""
        from onnx import helper

        names = [f"{operator.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        from onnx import helper

        return str(self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))))

    def unsqueeze(self, value: str, *axes: int) -> str:
        return str(self("Unsqueeze", value, self.integers(*axes)))

    def size(self, value: str, axis: int) -> str:
        """One dimension of a value, (1,)."""
        return str(self("Shape", value, start=axis, end=axis + 1))

    def reshape(self, value: str, *shape: int | str) -> str:
        """Numbers, or names of (1,); 0 keeps the dimension, -1 is what is left."""
        parts = [part if isinstance(part, str) else self.integers(part) for part in shape]
        return str(self("Reshape", value, self("Concat", *parts, axis=0)))

    def linear(self, value: str, layer: nn.Linear) -> str:
        product = self("MatMul", value, self.constant(layer.weight.T))
        return str(product if layer.bias is None else self("Add", product, self.constant(layer.bias)))

    def positions(self, size: str) -> str:
        """(1, T): 0, 1, ... below a size (1,)."""
        scalar = self("Squeeze", size)
        return self.unsqueeze(
            self("Range", self.constant(0, np.int64), scalar, self.constant(1, np.int64)), 0
        )

    def mask(self, lengths: str, size: str) -> str:
        """(B, T), 1 at the positions that exist and 0 behind."""
        return self.cast(self("Less", self.positions(size), self.unsqueeze(lengths, 1)), np.float32)

    def recurrent(
        self, sequence: str, stacks: list[nn.RNNBase], layer: int, *, lengths: str = "", state: str = ""
    ) -> list[str]:
        """One layer over (T, B, F), one stack a direction -> outputs (T, B, directions * D), and last states.

        `state` is (S, B, D), zeros where there is none.
        """
        operator, units = stacks[0].mode.partition("_")[0], stacks[0].hidden_size
        weights = [
            [_in_onnx_order(getattr(stack, f"{part}_l{layer}"), _GATES[operator]) for stack in stacks]
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        w, r, b_w, b_r = (torch.stack(parts) for parts in weights)
        attributes: dict[str, Any] = {"hidden_size": units}
        if len(stacks) == 2:
            attributes["direction"] = "bidirectional"
        if operator == "GRU":
            attributes["linear_before_reset"] = 1
        parts = 2 if operator == "LSTM" else 1
        before = [self("Gather", state, self.integers(part), axis=0) for part in range(parts) if state]
        constants = [self.constant(value) for value in (w, r, torch.cat((b_w, b_r), dim=1))]
        lengths = self.cast(lengths, np.int32) if lengths else ""
        outputs, *after = self(
            operator, sequence, *constants, lengths, *before, outputs=1 + parts, **attributes
        )
        joined = self("Transpose", outputs, perm=[0, 2, 1, 3])  # (T, B, directions, D)
        return [self.reshape(joined, 0, 0, len(stacks) * units), *after]

    def stack(self, step: str, stack: nn.RNNBase, state: str) -> tuple[str, str]:
        """One step (N, F) of a stack of layers from `state` (S, layers, N, D) -> (N, D), the new state."""
        sequence, states = self.unsqueeze(step, 0), []
        for layer in range(stack.num_layers):
            before = self("Squeeze", self("Gather", state, self.integers(layer), axis=1), self.integers(1))
            sequence, *after = self.recurrent(sequence, [stack], layer, state=before)
            states.append(self("Concat", *after, axis=0) if len(after) > 1 else after[0])
        stacked = [self.unsqueeze(part, 1) for part in states]
        return str(self("Squeeze", sequence, self.integers(0))), str(self("Concat", *stacked, axis=1))

    def serialize(self, name: str) -> bytes:
        """The model as the bytes of an .onnx file."""
        from onnx import checker, helper

        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        checker.check_model(model)
        return bytes(model.SerializeToString())


def _value(name: str, dtype: type[np.generic], shape: tuple[int | str, ...]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _in_onnx_order(parameter: Tensor, gates: tuple[int, ...]) -> Tensor:
    parts = parameter.detach().cpu().chunk(len(gates))
    return torch.cat([parts[gate] for gate in gates])


def _encoder(model: Seq2Seq) -> bytes:
    g = _Graph()
    sequence, lengths = _features(g, model.features)
    for layer in model.encoder.layers:
        assert isinstance(layer, PyramidLayer)
        sequence, lengths = _pyramid_layer(g, layer, sequence, lengths)
    vocabulary = model.decoder.vocabulary
    g.output("encoded", sequence, np.float32, "batch", "frames", model.encoder.size)
    g.output("encoded_lengths", lengths, np.int64, "batch")
    context = _context(g, model.context, sequence, lengths)
    g.output("context", context, np.float32, "batch", model.context.projection.out_features)
    if model.ctc_head is not None:
        ctc = g("LogSoftmax", g.linear(sequence, model.ctc_head), axis=-1)
        g.output("ctc", ctc, np.float32, "batch", "frames", vocabulary)
    return g.serialize("encoder")


def _features(g: _Graph, features: Features) -> tuple[str, str]:
    """Normalized frames (B, T, F), zero behind each end, and their numbers (B,)."""
    if isinstance(features, LogMel):
        sound = g.input("sound", np.float32, "batch", "samples")
        frames, lengths = _log_mel(g, features, sound, g.input("lengths", np.int64, "batch"))
    else:
        config = features.config
        assert isinstance(config, PrecomputedConfig)
        given = g.input("frames", np.float32, "batch", "time", config.size)
        lengths = g.input("lengths", np.int64, "batch")
        frames = _with_deltas(g, config, given, lengths)
    mask = g.unsqueeze(g.mask(lengths, g.size(frames, 1)), 2)  # (B, T, 1)
    if features.normalization == "corpus":
        centered = g("Sub", frames, g.constant(features.mean))
        frames = g("Div", centered, g.constant(features.deviation))
    elif features.normalization == "utterance":
        count = g.cast(g.unsqueeze(lengths, 1, 2), np.float32)
        mean = g("Div", g("ReduceSum", g("Mul", frames, mask), g.integers(1)), count)
        centered = g("Sub", frames, mean)
        squares = g("Mul", g("Mul", centered, centered), mask)
        variance = g("Div", g("ReduceSum", squares, g.integers(1)), count)
        frames = g("Div", centered, g("Sqrt", g("Add", variance, g.constant(EPSILON))))
    return g("Mul", frames, mask), lengths


def _log_mel(g: _Graph, features: LogMel, sound: str, lengths: str) -> tuple[str, str]:
    """Sound (B, N) -> (B, T, F): windows and their Fourier transform as one convolution."""
    config: LogMelConfig = features.config
    sound = g("Mul", sound, g.mask(lengths, g.size(sound, 1)))
    if config.level:
        count = g.cast(g.unsqueeze(lengths, 1), np.float32)
        power = g("Div", g("ReduceSum", g("Mul", sound, sound), g.integers(1)), count)
        root = g("Sqrt", g("Max", power, g.constant(EPSILON**2)))
        sound = g("Mul", sound, g("Div", g.constant(LEVEL), root))
    window = features.window.double().cpu().numpy()
    size, width = features.fft_size, len(window)
    # Of a real window the power does not depend on where time begins: it begins at the window.
    angles = 2 * math.pi / size * np.outer(np.arange(size // 2 + 1), np.arange(width))
    waves = np.concatenate((np.cos(angles), np.sin(angles))) * window  # (2 * bins, width)
    before = size // 2 - (size - width) // 2
    parts = g(
        "Conv",
        g.unsqueeze(sound, 1),
        g.constant(waves[:, None]),
        strides=[features.hop],
        pads=[before, width - before],
    )  # (B, 2 * bins, T)
    real, imaginary = g("Split", g("Mul", parts, parts), outputs=2, axis=1)
    energies = g("MatMul", g.constant(features.filters.T), g("Add", real, imaginary))  # (B, F, T)
    logarithm = g("Log", g("Max", energies, g.constant(config.floor)))
    frames = g("Add", g("Div", lengths, g.integers(features.hop)), g.integers(1))
    return g("Transpose", logarithm, perm=[0, 2, 1]), frames


def _with_deltas(g: _Graph, config: PrecomputedConfig, frames: str, lengths: str) -> str:
    """Frames (B, T, size) -> (B, T, size * (1 + deltas))."""
    orders, width = [frames], config.delta_width
    positions = g.positions(g.size(frames, 1))
    last = g("Sub", g.unsqueeze(lengths, 1), g.integers(1))  # (B, 1)
    for _ in range(config.deltas):
        total = ""
        for shift in (*range(-width, 0), *range(1, width + 1)):
            moved = g("Max", g("Add", positions, g.integers(shift)), g.integers(0))
            places = g.unsqueeze(g("Min", moved, last), 2)  # (B, T, 1)
            part = g("Mul", g("GatherND", orders[-1], places, batch_dims=1), g.constant(shift))
            total = g("Add", total, part) if total else part
        orders.append(g("Div", total, g.constant(2 * sum(step**2 for step in range(1, width + 1)))))
    return str(g("Concat", *orders, axis=2))


def _pyramid_layer(g: _Graph, layer: PyramidLayer, sequence: str, lengths: str) -> tuple[str, str]:
    """(B, T, F) with zero padding, (B,) -> (B, ceil(T / reduction), size) with zero padding, (B,)."""
    reduction, stacks = layer.reduction, [layer.forward_layer]
    if layer.backward_layer is not None:
        stacks.append(layer.backward_layer)
    if reduction > 1:
        missing = g("Mod", g("Neg", g.size(sequence, 1)), g.integers(reduction))
        pads = g("Concat", g.integers(0, 0, 0, 0), missing, g.integers(0), axis=0)
        sequence = g.reshape(g("Pad", sequence, pads), 0, -1, stacks[0].input_size)
        lengths = g("Div", g("Add", lengths, g.integers(reduction - 1)), g.integers(reduction))
    outputs, *_ = g.recurrent(g("Transpose", sequence, perm=[1, 0, 2]), stacks, 0, lengths=lengths)
    return g("Transpose", outputs, perm=[1, 0, 2]), lengths


def _context(g: _Graph, context: Context, encoded: str, lengths: str) -> str:
    """Encoded (B, T', E), lengths (B,) -> (B, D)."""
    if context.pooling == "last":
        place = g.unsqueeze(g("Sub", lengths, g.integers(1)), 1)
        pooled = g("GatherND", encoded, place, batch_dims=1)  # (B, E)
        if context.bidirectional:
            first = g("Squeeze", g("Slice", encoded, *map(g.integers, (0, 1, 1))), g.integers(1))
            ahead, _ = g("Split", pooled, outputs=2, axis=1)
            _, back = g("Split", first, outputs=2, axis=1)
            pooled = g("Concat", ahead, back, axis=1)
    else:
        mask = g.mask(lengths, g.size(encoded, 1))  # (B, T')
        if context.pooling == "mean":
            weights = g("Div", mask, g.cast(g.unsqueeze(lengths, 1), np.float32))
        else:
            hidden = g("Tanh", g.linear(encoded, context.hidden))
            scores = g("Squeeze", g.linear(hidden, context.score), g.integers(2))
            weights = g("Softmax", g("Add", scores, _closed(g, mask)), axis=1)
        pooled = g("Squeeze", g("MatMul", g.unsqueeze(weights, 1), encoded), g.integers(1))
    return str(g("Tanh", g.linear(pooled, context.projection)))


def _closed(g: _Graph, mask: str) -> str:
    """What is added to scores: 0 where the mask is 1, minus infinity where it is 0."""
    return str(g("Log", mask))


def _stacks(model: Seq2Seq) -> list[nn.RNNBase]:
    decoder = model.decoder
    if isinstance(decoder, DotDecoder):
        return [decoder.lower, decoder.upper]
    assert isinstance(decoder, FixedVectorDecoder | LocationDecoder)
    return [decoder.layers]


def _state_shape(stack: nn.RNNBase) -> tuple[int, int, str, int]:
    return 2 if isinstance(stack, nn.LSTM) else 1, stack.num_layers, "hypotheses", stack.hidden_size


def _memory_shapes(model: Seq2Seq) -> dict[str, tuple[int | str, ...]]:
    """What a decoder looks up and which does not change from step to step."""
    decoder = model.decoder
    shapes: dict[str, tuple[int | str, ...]] = {"context": ("batch", model.context.projection.out_features)}
    if isinstance(decoder, FixedVectorDecoder):
        return shapes
    assert isinstance(decoder, DotDecoder | LocationDecoder)
    size = decoder.attention.key.out_features
    keys: tuple[int | str, ...] = ("batch", "frames", size)
    if isinstance(decoder, DotDecoder):
        heads = decoder.attention.heads
        keys = ("batch", heads, size // heads, "frames")
    values = ("batch", "frames", model.encoder.size)
    return shapes | {"keys": keys, "values": values, "closed": ("batch", "frames")}


def _decoder_start(model: Seq2Seq) -> bytes:
    g, decoder = _Graph(), model.decoder
    memory = _memory_shapes(model)
    encoded = g.input("encoded", np.float32, "batch", "frames", model.encoder.size)
    lengths = g.input("encoded_lengths", np.int64, "batch")
    context = g.input("encoded_context", np.float32, *memory["context"])
    values = {"context": context}
    if not isinstance(decoder, FixedVectorDecoder):
        assert isinstance(decoder, DotDecoder | LocationDecoder)
        keys = g.linear(encoded, decoder.attention.key)
        mask = g.mask(lengths, g.size(encoded, 1))
        if isinstance(decoder, DotDecoder):
            heads = decoder.attention.heads
            parted = g.reshape(keys, 0, 0, heads, decoder.attention.key.out_features // heads)
            keys = g("Transpose", parted, perm=[0, 2, 3, 1])
        values |= {"keys": keys, "values": encoded, "closed": _closed(g, mask)}
    for name, value in values.items():
        g.output(name, value, np.float32, *memory[name])
    for number, stack in enumerate(_stacks(model)):
        shape = _state_shape(stack)
        sizes = g("Concat", g.integers(*shape[:2]), g("Shape", context), axis=0)
        g.output(f"recurrent_{number}", g("Expand", context, sizes), np.float32, *shape)
    if isinstance(decoder, LocationDecoder):
        nothing = g("Expand", g.constant(0.0), g("Concat", g.size(encoded, 0), g.size(encoded, 2), axis=0))
        g.output("attended", nothing, np.float32, "hypotheses", model.encoder.size)
        even = g("Div", mask, g.cast(g.unsqueeze(lengths, 1), np.float32))
        g.output("weights", even, np.float32, "hypotheses", "frames")
    return g.serialize("decoder_start")


def _decoder_step(model: Seq2Seq) -> bytes:
    g, decoder = _Graph(), model.decoder
    tokens = g.input("tokens", np.int64, "hypotheses")
    memory = {n: g.input(n, np.float32, *shape) for n, shape in _memory_shapes(model).items()}
    stacks = _stacks(model)
    before = [g.input(f"recurrent_{n}", np.float32, *_state_shape(stack)) for n, stack in enumerate(stacks)]
    batch = g.size(memory["context"], 0)  # (1,)
    # [embedding; context] of every hypothesis, (N, .): a hypothesis has the context of its utterance.
    embedded = g("Gather", g.constant(decoder.embedding.weight), tokens)
    embedded = g.reshape(embedded, batch, -1, decoder.embedding.embedding_dim)  # (B, K, .)
    context = g.unsqueeze(memory["context"], 1)
    sizes = g("Concat", batch, g.size(embedded, 1), g.size(context, 2), axis=0)
    joined = g("Concat", embedded, g("Expand", context, sizes), axis=2)
    width = decoder.embedding.embedding_dim + model.context.projection.out_features
    inputs = g.reshape(joined, -1, width)

    after: list[str] = []
    if isinstance(decoder, FixedVectorDecoder):
        hidden, state = g.stack(inputs, decoder.layers, before[0])
        after.append(state)
        logits = g.linear(hidden, decoder.output)
    elif isinstance(decoder, DotDecoder):
        low, state = g.stack(inputs, decoder.lower, before[0])
        after.append(state)
        attended, weights = _dot_attention(g, decoder, low, batch, memory)
        high, state = g.stack(g("Concat", low, attended, axis=1), decoder.upper, before[1])
        after.append(state)
        logits = g.linear(high, decoder.output)
    else:
        assert isinstance(decoder, LocationDecoder)
        attended = g.input("attended", np.float32, "hypotheses", model.encoder.size)
        weights = g.input("weights", np.float32, "hypotheses", "frames")
        hidden, state = g.stack(g("Concat", inputs, attended, axis=1), decoder.layers, before[0])
        after.append(state)
        attended, weights = _location_attention(g, decoder, hidden, weights, batch, memory)
        both = g("Concat", hidden, attended, axis=1)
        logits = g.linear(g("Tanh", g.linear(both, decoder.joint)), decoder.output)
    g.output("logits", logits, np.float32, "hypotheses", decoder.vocabulary)
    if isinstance(decoder, LocationDecoder):
        g.output("attended_next", attended, np.float32, "hypotheses", model.encoder.size)
    for number, (stack, state) in enumerate(zip(stacks, after, strict=True)):
        g.output(f"recurrent_{number}_next", state, np.float32, *_state_shape(stack))
    if not isinstance(decoder, FixedVectorDecoder):
        g.output("weights_next", weights, np.float32, "hypotheses", "frames")
    return g.serialize("decoder_step")


def _dot_attention(
    g: _Graph, decoder: DotDecoder, low: str, batch: str, memory: dict[str, str]
) -> tuple[str, str]:
    """Hidden (N, D) -> attended (N, H * E), weights (N, T'), the mean over heads."""
    heads, size = decoder.attention.heads, decoder.attention.query.out_features
    parted = g.reshape(g.linear(low, decoder.attention.query), batch, -1, heads, size // heads)
    queries = g("Transpose", parted, perm=[0, 2, 1, 3])  # (B, H, K, A / H)
    scores = g("Div", g("MatMul", queries, memory["keys"]), g.constant(math.sqrt(size // heads)))
    weights = g("Softmax", g("Add", scores, g.unsqueeze(memory["closed"], 1, 2)), axis=-1)  # (B, H, K, T')
    attended = g("MatMul", weights, g.unsqueeze(memory["values"], 1))  # (B, H, K, E)
    attended = g.reshape(g("Transpose", attended, perm=[0, 2, 1, 3]), -1, decoder.attention.size)
    mean = g("ReduceMean", weights, axes=[1], keepdims=0)  # (B, K, T')
    return attended, g.reshape(mean, -1, g.size(mean, 2))


def _location_attention(
    g: _Graph, decoder: LocationDecoder, hidden: str, before: str, batch: str, memory: dict[str, str]
) -> tuple[str, str]:
    """Hidden (N, D), weights before (N, T') -> attended (N, E), weights (N, T')."""
    attention = decoder.attention
    size, width = attention.query.out_features, attention.convolution.padding[0]
    assert isinstance(width, int)
    kernel = g.constant(attention.convolution.weight)
    seen = g("Conv", g.unsqueeze(before, 1), kernel, pads=[width, width])  # (N, C, T')
    where = g.linear(g("Transpose", seen, perm=[0, 2, 1]), attention.location)
    where = g.reshape(where, batch, -1, g.size(where, 1), size)  # (B, K, T', A)
    query = g.reshape(g.linear(hidden, attention.query), batch, -1, 1, size)
    energy = g("Tanh", g("Add", g("Add", g.unsqueeze(memory["keys"], 1), query), where))
    scores = g("Squeeze", g.linear(energy, attention.score), g.integers(3))  # (B, K, T')
    weights = g("Softmax", g("Add", scores, g.unsqueeze(memory["closed"], 1)), axis=-1)
    attended = g("MatMul", weights, memory["values"])  # (B, K, E)
    return g.reshape(attended, -1, attention.size), g.reshape(weights, -1, g.size(weights, 2))
