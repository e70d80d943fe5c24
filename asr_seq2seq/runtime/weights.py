"""From the arrays of a model file to those that the graphs hold: transposed, joined, multiplied beforehand.

What does not depend on a step is multiplied once, here or by the encoder's graph: what each symbol, the
context and each encoded frame add to the gates of a recurrent layer. With int8 the matrices of LSTM layers,
of the decoder's steps and of keys and values are 8-bit numbers with a scale per output.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.config import Cell, DecoderConfig, LanguageModelSettings, RecognizerSettings
from asr_seq2seq.model_file.storage import Arrays

Weights = dict[str, npt.NDArray[Any]]

BLOCK = 32  # frames that one product with the location filters gives
# Where PyTorch's gates stand in the order of ONNX: i o f c of i f g o; z r h of r z n.
_ONNX_ORDER: dict[Cell, tuple[int, ...]] = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
# In a single step the gates that take a sigmoid stand together: i f o g.
_STEP_ORDER: dict[Cell, tuple[int, ...]] = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,)}


class Quantizer:
    """How matrices are stored: float32, or int8 with a scale per column.

    `largest` is the largest 8-bit number that is used: 127, or 63 on a processor whose 8-bit products
    saturate, which 7 bits cannot.
    """

    def __init__(self, largest: int | None = None) -> None:
        self.largest = largest

    def matrix(self, name: str, matrix: npt.NDArray[np.float32]) -> Weights:
        """Matrices (.., inputs, outputs) as a graph multiplies by them."""
        if self.largest is None:
            return {name: np.ascontiguousarray(matrix, np.float32)}
        scale = np.maximum(np.abs(matrix).max(-2), 1e-30) / np.float32(self.largest)  # (.., outputs)
        numbers = np.rint(matrix / scale[..., None, :]).astype(np.int8)
        return {
            name: np.ascontiguousarray(numbers),
            f"{name}.scale": scale.astype(np.float32),
            f"{name}.zero": np.zeros(scale.shape, np.int8),
        }


def encoder_weights(arrays: Arrays, config: RecognizerSettings, quantizer: Quantizer) -> Weights:
    """What the graph of encoder, context and all that decoding starts from holds."""
    weights: Weights = {}
    encoder = config.model.encoder
    for number in range(len(encoder.layers)):
        directions = ["forward", "backward"] if encoder.bidirectional else ["forward"]
        names = [f"encoder.layers.{number}.{direction}_layer" for direction in directions]
        weights |= _layer(arrays, names, encoder.cell, f"encoder.{number}", quantizer)
    linears = ["context.projection"]
    linears += ["context.hidden", "context.score"] if config.model.context.pooling == "attentive" else []
    linears += ["ctc_head"] if config.model.ctc_weight else []
    for name in linears:
        weights |= _linear(arrays, name)
    return weights | _memory(arrays, config, quantizer)


def decoder_weights(arrays: Arrays, config: RecognizerSettings, quantizer: Quantizer) -> Weights:
    """What the graph of one step of the decoder holds."""
    decoder = config.model.decoder
    own = {
        name.removeprefix("decoder."): array for name, array in arrays.items() if name.startswith("decoder.")
    }
    first = "lower" if decoder.attention == "dot" else "layers"
    of_inputs = _step_rows(own[f"{first}.weight_ih_l0"], decoder.cell).T  # (inputs, G)
    weights: Weights = {"symbols": own["embedding.weight"] @ of_inputs[: decoder.embedding]}
    weights |= _cell(own, first, 0, decoder.cell, quantizer, of_inputs=None)
    upper = decoder.layers - (decoder.attention != "dot")
    for number in range(upper):
        name, layer = ("upper", number) if decoder.attention == "dot" else ("layers", number + 1)
        matrix = _step_rows(own[f"{name}.weight_ih_l{layer}"], decoder.cell).T
        weights |= _cell(own, name, layer, decoder.cell, quantizer, of_inputs=matrix[: decoder.units])
        if name == "layers" or layer:
            weights[f"{name}.{layer}.bias"] = _step_bias(own, name, layer, decoder.cell)
    for name, matrix, bias in _step_products(own, decoder):
        weights |= quantizer.matrix(f"{name}.weight", matrix)
        if bias is not None:
            weights[f"{name}.bias"] = bias
    if decoder.attention == "location":
        weights["attention.location.weight"] = np.ascontiguousarray(own["attention.location.weight"].T)
        weights["attention.score.weight"] = np.ascontiguousarray(own["attention.score.weight"].T)
        weights |= _filters(own["attention.convolution.weight"])
    return weights


def language_model_weights(arrays: Arrays, config: LanguageModelSettings, quantizer: Quantizer) -> Weights:
    """What the graph of one step of a character language model holds."""
    of_inputs = _step_rows(arrays["layers.weight_ih_l0"], "lstm").T
    symbols = arrays["embedding.weight"] @ of_inputs + _step_bias(arrays, "layers", 0, "lstm")
    weights: Weights = {"symbols": symbols} | _cell(arrays, "layers", 0, "lstm", quantizer, of_inputs=None)
    for layer in range(1, config.model.layers):
        matrix = _step_rows(arrays[f"layers.weight_ih_l{layer}"], "lstm").T
        weights |= _cell(arrays, "layers", layer, "lstm", quantizer, of_inputs=matrix)
        weights[f"layers.{layer}.bias"] = _step_bias(arrays, "layers", layer, "lstm")
    weights |= quantizer.matrix("output.weight", arrays["output.weight"].T)
    return weights | {"output.bias": arrays["output.bias"]}


def _layer(arrays: Arrays, names: list[str], cell: Cell, target: str, quantizer: Quantizer) -> Weights:
    """One encoder layer, a row per direction, in the order of ONNX: W, R and B."""

    def stacked(part: str) -> npt.NDArray[np.float32]:
        return np.stack([_in_order(arrays[f"{name}.{part}_l0"], _ONNX_ORDER[cell]) for name in names])

    weights: Weights = {f"{target}.B": np.concatenate((stacked("bias_ih"), stacked("bias_hh")), axis=1)}
    for part, name in (("weight_ih", f"{target}.W"), ("weight_hh", f"{target}.R")):
        if cell == "lstm" and quantizer.largest is not None:
            weights |= quantizer.matrix(name, stacked(part).transpose(0, 2, 1))
        else:  # of the other cells onnxruntime has no form in 8 bits
            weights[name] = stacked(part)
    return weights


def _memory(arrays: Arrays, config: RecognizerSettings, quantizer: Quantizer) -> Weights:
    """What the encoder's outputs are multiplied by once for all steps of the decoder."""
    decoder, cell = config.model.decoder, config.model.decoder.cell
    first = "decoder.lower" if decoder.attention == "dot" else "decoder.layers"
    of_inputs = _step_rows(arrays[f"{first}.weight_ih_l0"], cell).T  # (inputs, G)
    start, end = decoder.embedding, decoder.embedding + decoder.units
    weights: Weights = {
        "context.gates.weight": np.ascontiguousarray(of_inputs[start:end]),
        "context.gates.bias": _step_bias(arrays, first, 0, cell),
    }
    if decoder.attention == "none":
        return weights
    keys = _linear(arrays, "decoder.attention.key")
    weights |= keys | quantizer.matrix("attention.key.weight", keys["attention.key.weight"])
    if decoder.attention == "dot":
        of_values = _step_rows(arrays["decoder.upper.weight_ih_l0"], cell).T[decoder.units :]  # (H * E, G)
        # The weights of each head sum to 1, so the bias can be part of the values of one of them.
        of_heads = of_values.reshape(decoder.heads, -1, of_values.shape[1]).transpose(1, 0, 2)  # (E, H, G)
        values = of_heads.reshape(len(of_heads), -1)
        bias = np.zeros(values.shape[1], np.float32)
        bias[: of_values.shape[1]] = _step_bias(arrays, "decoder.upper", 0, cell)
    else:
        joint = arrays["decoder.joint.weight"][:, decoder.units :].T  # (E, D)
        values = np.concatenate((of_inputs[end:], joint), axis=1)
        nothing = np.zeros(of_inputs.shape[1], np.float32)
        bias = np.concatenate((nothing, arrays["decoder.joint.bias"]))
    return weights | quantizer.matrix("values.weight", values) | {"values.bias": bias}


def _step_products(own: Arrays, decoder: DecoderConfig) -> list[tuple[str, Any, Any]]:
    """Name, matrix (inputs, outputs) and bias of the linear layers in a step."""
    products: list[tuple[str, Any, Any]] = [("output", own["output.weight"].T, own["output.bias"])]
    if decoder.attention == "dot":
        scale = np.float32(1 / math.sqrt(decoder.attention_size // decoder.heads))
        products.append(
            ("attention.query", own["attention.query.weight"].T * scale, own["attention.query.bias"] * scale)
        )
    elif decoder.attention == "location":
        products.append(("attention.query", own["attention.query.weight"].T, own["attention.query.bias"]))
        products.append(("joint", own["joint.weight"][:, : decoder.units].T, None))
    return products


def _cell(
    arrays: Arrays,
    name: str,
    layer: int,
    cell: Cell,
    quantizer: Quantizer,
    *,
    of_inputs: npt.NDArray[np.float32] | None,
) -> Weights:
    """A layer in single steps: its weights of the hidden state, below those of its inputs where given.

    A GRU's reset gate comes between the two, so there they stay apart, and the hidden state has its own bias.
    """
    target = f"{name}.{layer}"
    of_hidden = _step_rows(arrays[f"{name}.weight_hh_l{layer}"], cell).T
    if cell != "gru":
        joined = of_hidden if of_inputs is None else np.concatenate((of_inputs, of_hidden))
        return quantizer.matrix(f"{target}.weight", joined)
    bias = _step_rows(arrays[f"{name}.bias_hh_l{layer}"], cell)
    weights = quantizer.matrix(f"{target}.hidden.weight", of_hidden) | {f"{target}.hidden.bias": bias}
    return weights if of_inputs is None else weights | quantizer.matrix(f"{target}.weight", of_inputs)


def _step_bias(arrays: Arrays, name: str, layer: int, cell: Cell) -> npt.NDArray[np.float32]:
    """What is added to a layer's gates: both biases; of a GRU only that of the inputs."""
    bias = arrays[f"{name}.bias_ih_l{layer}"]
    return _step_rows(bias if cell == "gru" else bias + arrays[f"{name}.bias_hh_l{layer}"], cell)


def _step_rows(array: npt.NDArray[np.float32], cell: Cell) -> npt.NDArray[np.float32]:
    return _in_order(array, _STEP_ORDER[cell])


def _in_order(array: npt.NDArray[np.float32], gates: tuple[int, ...]) -> npt.NDArray[np.float32]:
    parts = np.split(array, len(gates))
    return np.concatenate([parts[gate] for gate in gates])


def _linear(arrays: Arrays, name: str) -> Weights:
    short = name.removeprefix("decoder.")
    weights: Weights = {f"{short}.weight": np.ascontiguousarray(arrays[f"{name}.weight"].T)}
    bias = arrays.get(f"{name}.bias")
    return weights if bias is None else weights | {f"{short}.bias": bias}


def _filters(kernel: npt.NDArray[np.float32]) -> Weights:
    """Filters (C, 1, taps) for a block of frames as one matrix: (window, BLOCK * (C + 1)), and a bias.

    The window is BLOCK + taps - 1 frames and as many zeros as make it whole blocks. Each frame of the block
    has the filters in its columns, one row lower than the frame before it, and a column that gives 1.
    """
    channels, _, taps = kernel.shape
    window = -(-(BLOCK + taps - 1) // BLOCK) * BLOCK
    filters = np.zeros((window, BLOCK, channels + 1), np.float32)
    for frame in range(BLOCK):
        filters[frame : frame + taps, frame, :channels] = kernel[:, 0].T
    one = np.zeros((BLOCK, channels + 1), np.float32)
    one[:, channels] = 1.0
    return {"attention.filters.weight": filters.reshape(window, -1), "attention.filters.bias": one.ravel()}
