"""The graphs of a recognizer and of a language model, from settings and the shapes of their weights.

Graphs are put together operator by operator, and not traced: batch and length stay free, and lengths are
computed by the operators themselves. A bidirectional ONNX LSTM with `sequence_lens` reads each sequence from
its own true end, as the encoder does.

- encoder: features and lengths -> lengths, CTC log-probabilities, and all that decoding starts from.
- decoder step: the last tokens (B, K), from which row each hypothesis continues, and the state -> logits and
  the state after them.
- language model step: the same with log-probabilities.
"""

from __future__ import annotations

import numpy as np

from asr_seq2seq.config import Cell, LanguageModelSettings, RecognizerSettings
from asr_seq2seq.model_file.parameters import GATES, encoder_sizes
from asr_seq2seq.runtime.graph_builder import GraphBuilder
from asr_seq2seq.runtime.weights import BLOCK, Weights

_ROWS = ("batch", "hypotheses")


def encoder_graph(config: RecognizerSettings, weights: Weights) -> bytes:
    """features (B, T, F), lengths (B,) -> encoded_lengths (B,), ctc (B, T', V), context (B, D), memory."""
    g, model = GraphBuilder(weights), config.model
    sizes = encoder_sizes(config)
    sequence = g.input("features", np.float32, "batch", "time", sizes[0])
    lengths = g.input("lengths", np.int64, "batch")
    for number, layer in enumerate(model.encoder.layers):
        if layer.reduction > 1:
            missing = g("Mod", g("Neg", g.size(sequence, 1)), g.integers(layer.reduction))
            pads = g("Concat", g.integers(0, 0, 0, 0), missing, g.integers(0), axis=0)
            sequence = g.reshape(g("Pad", sequence, pads), 0, -1, layer.reduction * sizes[number])
            lengths = g("Add", lengths, g.integers(layer.reduction - 1))
            lengths = g("Div", lengths, g.integers(layer.reduction))
        frames_first = g("Transpose", sequence, perm=[1, 0, 2])
        outputs = g.recurrent(frames_first, f"encoder.{number}", model.encoder.cell, layer.units, lengths)
        sequence = g("Transpose", outputs, perm=[1, 0, 2])
    g.output("encoded_lengths", lengths, np.int64, "batch")
    if model.ctc_weight:
        ctc = g("LogSoftmax", g.matmul(sequence, "ctc_head"), axis=-1)
        g.output("ctc", ctc, np.float32, "batch", "frames", weights["ctc_head.bias"].shape[0])
    mask = g.mask(lengths, g.size(sequence, 1))  # (B, T')
    context = _context(g, config, sequence, lengths, mask)
    g.output("context", context, np.float32, "batch", model.context.size)
    for name, value in _memory(g, config, sequence, context, mask).items():
        g.output(name, value, np.float32, *memory_shapes(config)[name])
    return g.serialize("encoder")


def memory_shapes(config: RecognizerSettings) -> dict[str, tuple[int | str, ...]]:
    """Name -> shape of what a decoder keeps of each utterance; G is what a cell's gates take up.

    `gates` is what the context adds to the gates of the first layer; `keys` and `values` what attention
    compares queries with and reads; `closed` is 0 at real frames and minus infinity behind.
    """
    decoder, size = config.model.decoder, config.model.decoder.attention_size
    gates = GATES[decoder.cell] * decoder.units
    shapes: dict[str, tuple[int | str, ...]] = {"gates": ("batch", 1, gates)}
    if decoder.attention == "dot":
        heads = () if decoder.heads == 1 else (decoder.heads,)
        shapes["keys"] = ("batch", *heads, "frames", size // decoder.heads)
        shapes["values"] = ("batch", gates, "heads_by_frames")
        return shapes | {"closed": ("batch", "frames", 1)}
    if decoder.attention == "location":
        shapes["keys"] = ("batch", 1, "frames", size)
        shapes["values"] = ("batch", gates + decoder.units, "frames")
        return shapes | {"closed": ("batch", 1, "frames")}
    return shapes


def carried_shapes(config: RecognizerSettings) -> dict[str, tuple[int | str, ...]]:
    """Name -> shape, after R rows, of what a decoder carries from step to step: each layer's h, and c."""
    decoder = config.model.decoder
    layers = [f"{name}.{layer}" for name, layer in _layers(config)]
    parts = ("h", "c") if decoder.cell == "lstm" else ("h",)
    shapes: dict[str, tuple[int | str, ...]] = {f"{n}.{p}": (decoder.units,) for n in layers for p in parts}
    if decoder.attention == "location":
        shapes["attended"] = (GATES[decoder.cell] * decoder.units,)
        shapes["weights"] = ("frames",)
    return shapes


def decoder_graph(config: RecognizerSettings, weights: Weights) -> bytes:
    """tokens (B, K), rows (B, K), memory and carried state of R rows -> logits (B, K, V) and the state after.

    `rows` are the rows of the state that the hypotheses continue. With attention there is `weights.next`,
    the mean over heads: (B, T', K) of dot attention, (B, K, T') of location attention.
    """
    g, decoder = GraphBuilder(weights), config.model.decoder
    tokens, rows = g.input("tokens", np.int64, *_ROWS), g.input("rows", np.int64, *_ROWS)
    memory = {name: g.input(name, np.float32, *shape) for name, shape in memory_shapes(config).items()}
    before = {
        name: g("Gather", g.input(name, np.float32, "rows_before", *shape), rows)
        for name, shape in carried_shapes(config).items()
    }
    gates = g("Add", g("Gather", g.weight("symbols"), tokens), memory["gates"])  # (B, K, G)
    if decoder.attention == "location":
        gates = g("Add", gates, before["attended"])
    after: dict[str, str] = {}
    hidden = found = ""
    for number, (name, layer) in enumerate(_layers(config)):
        place = f"{name}.{layer}"
        if number:
            gates = ""
        if number == 1 and decoder.attention == "dot":
            found, gates = _dot_attention(g, config, hidden, memory)
        state = [before[f"{place}.{part}"] for part in "hc" if f"{place}.{part}" in before]
        hidden, *rest = _step(g, decoder.cell, place, decoder.units, gates, hidden, state)
        after |= dict(zip((f"{place}.h", f"{place}.c"), (hidden, *rest), strict=False))
    if decoder.attention == "location":
        found, read = _location_attention(g, config, hidden, before["weights"], memory)
        attended, joint = g.split(read, GATES[decoder.cell] * decoder.units, decoder.units)
        after["attended"] = attended
        hidden = g("Tanh", g("Add", g.matmul(hidden, "joint"), joint))
    g.output("logits", g.matmul(hidden, "output"), np.float32, *_ROWS, weights["output.bias"].shape[0])
    for name, value in after.items():
        g.output(f"{name}.next", value, np.float32, *_ROWS, *carried_shapes(config)[name])
    if found:
        places = ("batch", "frames", "hypotheses") if decoder.attention == "dot" else (*_ROWS, "frames")
        g.output("weights.next", found, np.float32, *places)
    return g.serialize("decoder_step")


def language_model_graph(config: LanguageModelSettings, weights: Weights) -> bytes:
    """tokens (B, K), rows (B, K) and the state of R rows -> log_p (B, K, V) and the state after them."""
    g, units = GraphBuilder(weights), config.model.units
    tokens, rows = g.input("tokens", np.int64, *_ROWS), g.input("rows", np.int64, *_ROWS)
    hidden, gates = "", g("Gather", g.weight("symbols"), tokens)
    after: dict[str, str] = {}
    for layer in range(config.model.layers):
        place = f"layers.{layer}"
        names = [f"{place}.{part}" for part in "hc"]
        state = [g("Gather", g.input(name, np.float32, "rows_before", units), rows) for name in names]
        hidden, cell = _step(g, "lstm", place, units, "" if layer else gates, hidden, state)
        after |= dict(zip(names, (hidden, cell), strict=True))
    log_p = g("LogSoftmax", g.matmul(hidden, "output"), axis=-1)
    g.output("log_p", log_p, np.float32, *_ROWS, weights["output.bias"].shape[0])
    for name, value in after.items():
        g.output(f"{name}.next", value, np.float32, *_ROWS, units)
    return g.serialize("language_model_step")


def _layers(config: RecognizerSettings) -> list[tuple[str, int]]:
    """The decoder's recurrent layers from below, by stack and number in the stack."""
    decoder = config.model.decoder
    if decoder.attention == "dot":
        return [("lower", 0), *(("upper", layer) for layer in range(decoder.layers))]
    return [("layers", layer) for layer in range(decoder.layers)]


def _context(g: GraphBuilder, config: RecognizerSettings, encoded: str, lengths: str, mask: str) -> str:
    """Encoded (B, T', E), lengths (B,), mask (B, T') -> context (B, D)."""
    pooling = config.model.context.pooling
    if pooling == "last":
        place = g.unsqueeze(g("Sub", lengths, g.integers(1)), 1)
        pooled = g("GatherND", encoded, place, batch_dims=1)  # (B, E)
        if config.model.encoder.bidirectional:
            half = encoder_sizes(config)[-1] // 2  # the backward direction ends at the first frame
            first = g.squeeze(g.slice(encoded, g.integers(0), g.integers(1), 1), 1)
            pooled = g("Concat", g.split(pooled, half, half)[0], g.split(first, half, half)[1], axis=1)
        return str(g("Tanh", g.matmul(pooled, "context.projection")))
    if pooling == "mean":
        weights = g("Div", mask, g.cast(g.unsqueeze(lengths, 1), np.float32))
    else:
        scores = g.squeeze(g.matmul(g("Tanh", g.matmul(encoded, "context.hidden")), "context.score"), 2)
        weights = g("Softmax", g("Add", scores, g("Log", mask)), axis=1)
    pooled = g.squeeze(g("MatMul", g.unsqueeze(weights, 1), encoded), 1)
    return str(g("Tanh", g.matmul(pooled, "context.projection")))


def _memory(
    g: GraphBuilder, config: RecognizerSettings, encoded: str, context: str, mask: str
) -> dict[str, str]:
    """What `memory_shapes` names."""
    decoder = config.model.decoder
    memory = {"gates": g.unsqueeze(g.matmul(context, "context.gates"), 1)}
    if decoder.attention == "none":
        return memory
    keys = g.matmul(encoded, "attention.key")
    values = g("Transpose", g.matmul(encoded, "values"), perm=[0, 2, 1])  # (B, H * G, T')
    if decoder.attention == "location":
        closed = g.unsqueeze(g("Log", mask), 1)
        return memory | {"keys": g.unsqueeze(keys, 1), "values": values, "closed": closed}
    if decoder.heads > 1:
        parted = g.reshape(keys, 0, 0, decoder.heads, decoder.attention_size // decoder.heads)
        keys = g("Transpose", parted, perm=[0, 2, 1, 3])
        gates = GATES[decoder.cell] * decoder.units
        parted = g("Transpose", g.reshape(values, 0, decoder.heads, gates, -1), perm=[0, 2, 1, 3])
        values = g.reshape(parted, 0, gates, -1)  # (B, G, H * T')
    return memory | {"keys": keys, "values": values, "closed": g.unsqueeze(g("Log", mask), 2)}


def _step(
    g: GraphBuilder, cell: Cell, name: str, units: int, gates: str, inputs: str, state: list[str]
) -> list[str]:
    """One step of a layer: h after it, and c of an LSTM, each (B, K, D).

    `inputs` (B, K, I) are multiplied by the layer's weights, which have their bias with them where `gates`,
    what is known beforehand of the gates, is not given. Either may be empty.
    """
    h = state[0]
    if cell == "gru":
        if inputs:
            product = g.matmul(inputs, name)
            gates = g("Add", product, gates) if gates else product
        both, new = g.split(gates, 2 * units, units)
        of_both, of_new = g.split(g.matmul(h, f"{name}.hidden"), 2 * units, units)
        reset, update = g.split(g("Sigmoid", g("Add", both, of_both)), units, units)
        new = g("Tanh", g("Add", new, g("Mul", reset, of_new)))
        return [g("Add", new, g("Mul", update, g("Sub", h, new)))]
    joined = g("Concat", inputs, h, axis=-1) if inputs else h
    product = g.matmul(joined, name)
    gates = g("Add", product, gates) if gates else product
    if cell == "rnn":
        return [g("Tanh", gates)]
    opened, new = g.split(gates, 3 * units, units)
    let_in, keep, let_out = g.split(g("Sigmoid", opened), units, units, units)
    c = g("Add", g("Mul", keep, state[1]), g("Mul", let_in, g("Tanh", new)))
    return [g("Mul", let_out, g("Tanh", c)), c]


def _dot_attention(
    g: GraphBuilder, config: RecognizerSettings, hidden: str, memory: dict[str, str]
) -> tuple[str, str]:
    """Hidden (B, K, D) -> weights (B, T', K), the mean over heads, and what they read, (B, K, G).

    Hypotheses are few and frames many: with frames as the rows of a product, onnxruntime need not rearrange
    keys and values in each step.
    """
    decoder = config.model.decoder
    query = g("Transpose", g.matmul(hidden, "attention.query"), perm=[0, 2, 1])  # (B, A, K)
    if decoder.heads == 1:
        scores = g("MatMul", memory["keys"], query)  # (B, T', K)
        weights = _softmax(g, g("Add", scores, memory["closed"]), 1)
        return weights, _read(g, weights, memory)
    query = g.reshape(query, 0, decoder.heads, decoder.attention_size // decoder.heads, -1)
    scores = g("MatMul", memory["keys"], query)  # (B, H, T', K)
    weights = _softmax(g, g("Add", scores, g.unsqueeze(memory["closed"], 1)), 2)
    joined = g.reshape(weights, 0, -1, g.size(weights, 3))  # (B, H * T', K)
    return g("ReduceMean", weights, axes=[1], keepdims=0), _read(g, joined, memory)


def _softmax(g: GraphBuilder, scores: str, axis: int) -> str:
    """Attention weights of scores; those too small to change anything are zero.

    Numbers below 1e-38 would make products many times slower. Those from 1e-12 on stay as they are.
    """
    weights = g("Softmax", scores, axis=axis)
    return str(g("Relu", g("Sub", weights, g.constant(1e-20))))


def _read(g: GraphBuilder, weights: str, memory: dict[str, str]) -> str:
    """Weights (B, T', K) of each value -> the weighted sums (B, K, G)."""
    return str(g("Transpose", g("MatMul", memory["values"], weights), perm=[0, 2, 1]))


def _location_attention(
    g: GraphBuilder, config: RecognizerSettings, hidden: str, before: str, memory: dict[str, str]
) -> tuple[str, str]:
    """Hidden (B, K, D), weights before (B, K, T') -> weights (B, K, T') and what they read, (B, K, G + D).

    The energies are as large as all keys of all hypotheses: they are computed utterance by utterance, so that
    they stay in the processor's cache. The query is added by the product with the location features, which
    have a 1 beside them.
    """
    decoder = config.model.decoder
    channels, size = decoder.location_channels, decoder.attention_size
    location = g.reshape(g.weight("attention.location.weight"), 1, channels, size)
    score, last = g.weight("attention.score.weight"), g.integers(2)
    rest = g.integers(channels, size)

    def scores_of(body: GraphBuilder, parts: list[str]) -> str:
        """seen (K, T', C + 1), query (K, 1, A), keys (1, T', A) -> (K, T')."""
        seen, query, keys = parts
        count = body("Shape", query, start=0, end=1)
        matrix = body("Expand", location, body("Concat", count, rest, axis=0))  # (K, C, A)
        matrix = body("Concat", matrix, query, axis=1)  # (K, C + 1, A)
        energy = body("Tanh", body("Add", body("MatMul", seen, matrix), keys))
        return str(body("Squeeze", body("MatMul", energy, score), last))

    seen = _around(g, before, decoder.location_width, channels + 1)
    query = g.unsqueeze(g.matmul(hidden, "attention.query"), 2)
    scores = g.for_each(scores_of, seen, query, memory["keys"])
    weights = _softmax(g, g("Add", scores, memory["closed"]), 2)
    return weights, _read(g, g("Transpose", weights, perm=[0, 2, 1]), memory)


def _around(g: GraphBuilder, weights: str, width: int, channels: int) -> str:
    """Weights (B, K, T') -> what the filters see around each frame, and a 1: (B, K, T', C + 1).

    The filters are one matrix for BLOCK frames at a time: windows are made of neighboring blocks.
    """
    blocks = g.weights["attention.filters.weight"].shape[0] // BLOCK
    frames = g.size(weights, 2)
    missing = g("Mod", g("Neg", frames), g.integers(BLOCK))
    behind = g("Add", missing, g.integers((blocks - 1) * BLOCK - width))
    pads = g("Concat", g.integers(0, 0, width, 0, 0), behind, axis=0)
    padded = g("Pad", weights, pads)  # (B, K, (count + blocks - 1) * BLOCK)
    filled = g("Add", frames, missing)  # (1,): count * BLOCK
    windows = [
        g.reshape(
            g.slice(padded, g.integers(n * BLOCK), g("Add", filled, g.integers(n * BLOCK)), 2),
            0,
            0,
            -1,
            BLOCK,
        )
        for n in range(blocks)
    ]
    joined = g("Concat", *windows, axis=3)  # (B, K, count, window)
    seen = g.reshape(g.matmul(joined, "attention.filters"), 0, 0, -1, channels)
    return g.slice(seen, g.integers(0), frames, 2)
