"""A recognizer for other programs: three ONNX graphs and a description in one zip archive.

- `features.onnx`: sound, or frames of another program, and lengths -> normalized features and their lengths.
- `encoder.onnx` and `decoder_step.onnx`: the graphs of `runtime`, with their weights in them.

Such a file is written and never read back: docs/export.md shows how another program runs it.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, checker, numpy_helper

from asr_seq2seq.config import LogMelConfig, PrecomputedConfig
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model_file.acoustic import AcousticArrays
from asr_seq2seq.model_file.storage import describe
from asr_seq2seq.runtime.features import EPSILON, LEVEL, LogMel
from asr_seq2seq.runtime.graph_builder import GraphBuilder
from asr_seq2seq.runtime.onnx_graph import decoder_graph, encoder_graph
from asr_seq2seq.runtime.weights import Quantizer, Weights, decoder_weights, encoder_weights

FORMAT = "asr_seq2seq_onnx/2"
DESCRIPTION = "model.json"
_LARGEST = 63  # of 8-bit weights: the products of larger ones saturate on processors without VNNI


def export_model(path: Path, model: AcousticArrays, *, int8: bool = False) -> None:
    """Write the graphs of a recognizer to `path`, all or nothing.

    With `int8` the matrices of LSTM layers, of the decoder's products and of attention's keys and values are
    stored in 8 bits; what they are multiplied with is rounded to 8 bits as it comes (dynamic quantization, by
    operators of onnxruntime).
    """
    config, quantizer = model.config, Quantizer(_LARGEST if int8 else None)
    graphs = {"features.onnx": _complete(_features_graph(model), {})}
    for name, weights_of, graph_of in (
        ("encoder.onnx", encoder_weights, encoder_graph),
        ("decoder_step.onnx", decoder_weights, decoder_graph),
    ):
        weights = weights_of(model.arrays, config, quantizer)
        graphs[name] = _complete(graph_of(config, weights), weights)
    description = describe(FORMAT, model) | {
        "parameters": model.parameters,
        "weights": "int8" if int8 else "float32",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        # Not compressed, and dated the first day of the format: the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(DESCRIPTION), json.dumps(description, ensure_ascii=False))
        for name, graph in graphs.items():
            archive.writestr(zipfile.ZipInfo(name), graph)
    with atomic_write(path, "wb") as file:
        file.write(content.getvalue())


def _complete(graph: bytes, weights: Weights) -> bytes:
    """A graph with its weights in it, and without operators' domains that it does not use."""
    model = onnx.load_from_string(graph)
    for constant in model.graph.initializer:
        if constant.data_location == TensorProto.EXTERNAL:
            constant.CopyFrom(numpy_helper.from_array(weights[constant.name], constant.name))
    domains = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if not opset.domain or opset.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _features_graph(model: AcousticArrays) -> bytes:
    """Sound (B, N) or frames (B, T, S), lengths (B,) -> features (B, T, F), zero behind each end, theirs."""
    g, config = GraphBuilder({}), model.config.features
    if isinstance(config, LogMelConfig):
        sound = g.input("sound", np.float32, "batch", "samples")
        frames, lengths = _log_mel(g, config, sound, g.input("lengths", np.int64, "batch"))
    else:
        given = g.input("frames", np.float32, "batch", "time", config.size)
        lengths = g.input("lengths", np.int64, "batch")
        frames = _with_deltas(g, config, given, lengths)
    mask = g.unsqueeze(g.mask(lengths, g.size(frames, 1)), 2)  # (B, T, 1)
    if config.normalization == "corpus":
        centered = g("Sub", frames, g.constant(model.arrays["features.mean"]))
        frames = g("Div", centered, g.constant(model.arrays["features.deviation"]))
    elif config.normalization == "utterance":
        count = g.cast(g.unsqueeze(lengths, 1, 2), np.float32)
        for _ in range(2):  # the second takes out what rounding has left of the mean
            mean = g("Div", g("ReduceSum", g("Mul", frames, mask), g.integers(1)), count)
            frames = g("Sub", frames, mean)
        squares = g("Mul", g("Mul", frames, frames), mask)
        variance = g("Div", g("ReduceSum", squares, g.integers(1)), count)
        frames = g("Div", frames, g("Sqrt", g("Add", variance, g.constant(EPSILON))))
    g.output(
        "features", g("Mul", frames, mask), np.float32, "batch", "time", len(model.arrays["features.mean"])
    )
    g.output("feature_lengths", lengths, np.int64, "batch")
    return g.serialize("features")


def _log_mel(g: GraphBuilder, config: LogMelConfig, sound: str, lengths: str) -> tuple[str, str]:
    """Sound (B, N) -> (B, T, F): windows and their Fourier transform as one convolution."""
    features = LogMel(config)
    sound = g("Mul", sound, g.mask(lengths, g.size(sound, 1)))
    if config.level:
        count = g.cast(g.unsqueeze(lengths, 1), np.float32)
        power = g("Div", g("ReduceSum", g("Mul", sound, sound), g.integers(1)), count)
        root = g("Sqrt", g("Max", power, g.constant(EPSILON**2)))
        sound = g("Mul", sound, g("Div", g.constant(LEVEL), root))
    size, width = features.fft_size, len(features.window)
    # Of a real window the power does not depend on where time begins: it begins at the window.
    angles = 2 * math.pi / size * np.outer(np.arange(size // 2 + 1), np.arange(width))
    waves = np.concatenate((np.cos(angles), np.sin(angles))) * features.window  # (2 * bins, width)
    before = size // 2 - (size - width) // 2
    kernel, pads = g.constant(waves[:, None]), [before, width - before]
    parts = g("Conv", g.unsqueeze(sound, 1), kernel, strides=[features.hop], pads=pads)  # (B, 2 * bins, T)
    real, imaginary = g("Split", g("Mul", parts, parts), outputs=2, axis=1)
    energies = g("MatMul", g.constant(features.filters.T), g("Add", real, imaginary))  # (B, F, T)
    logarithm = g("Log", g("Max", energies, g.constant(config.floor)))
    frames = g("Add", g("Div", lengths, g.integers(features.hop)), g.integers(1))
    return g("Transpose", logarithm, perm=[0, 2, 1]), frames


def _with_deltas(g: GraphBuilder, config: PrecomputedConfig, frames: str, lengths: str) -> str:
    """Frames (B, T, S) -> (B, T, S * (1 + deltas))."""
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
