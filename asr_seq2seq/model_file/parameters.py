"""The table of parameter names: what a model file of given settings holds, and in which shapes.

Names are those of the PyTorch modules' `state_dict`. E is the encoder's output size, D the decoder's units.
"""

from __future__ import annotations

from collections.abc import Iterator

from asr_seq2seq.config import Cell, FeaturesConfig, LanguageModelSettings, LogMelConfig, RecognizerSettings

Shapes = dict[str, tuple[int, ...]]
GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}


def feature_size(features: FeaturesConfig) -> int:
    """F, the number of values in a frame."""
    return features.mels if isinstance(features, LogMelConfig) else features.size * (1 + features.deltas)


def encoder_sizes(config: RecognizerSettings) -> list[int]:
    """F, then the output size of each encoder layer, the last of which is E."""
    directions = 2 if config.model.encoder.bidirectional else 1
    layers = config.model.encoder.layers
    return [feature_size(config.features), *(layer.units * directions for layer in layers)]


def acoustic_parameters(config: RecognizerSettings, vocabulary: int) -> Shapes:
    """Name -> shape of every array of a recognizer."""
    model, size = config.model, encoder_sizes(config)[-1]
    shapes: Shapes = {
        name: (feature_size(config.features),) for name in ("features.mean", "features.deviation")
    }
    shapes |= _encoder(config)
    shapes |= _linear("context.projection", size, model.context.size)
    if model.context.pooling == "attentive":
        shapes |= _linear("context.hidden", size, model.context.size)
        shapes |= _linear("context.score", model.context.size, 1, bias=False)
    if model.ctc_weight:
        shapes |= _linear("ctc_head", size, vocabulary)
    return shapes | {f"decoder.{name}": shape for name, shape in _decoder(config, size, vocabulary)}


def language_model_parameters(config: LanguageModelSettings, vocabulary: int) -> Shapes:
    """Name -> shape of every array of a character language model."""
    shape = config.model
    return (
        {"embedding.weight": (vocabulary, shape.embedding)}
        | _recurrent("layers", "lstm", shape.embedding, shape.units, shape.layers)
        | _linear("output", shape.units, vocabulary)
    )


def _encoder(config: RecognizerSettings) -> Shapes:
    encoder, sizes = config.model.encoder, encoder_sizes(config)
    shapes: Shapes = {}
    for number, layer in enumerate(encoder.layers):
        for direction in ("forward", "backward") if encoder.bidirectional else ("forward",):
            name, inputs = f"encoder.layers.{number}.{direction}_layer", sizes[number] * layer.reduction
            shapes |= _recurrent(name, encoder.cell, inputs, layer.units)
    return shapes


def _decoder(config: RecognizerSettings, size: int, vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    decoder = config.model.decoder
    cell, units, width = decoder.cell, decoder.units, decoder.attention_size
    inputs = decoder.embedding + units
    yield "embedding.weight", (vocabulary, decoder.embedding)
    yield from _linear("output", units, vocabulary).items()
    if decoder.attention == "none":
        yield from _recurrent("layers", cell, inputs, units, decoder.layers).items()
        return
    yield from _linear("attention.query", units, width).items()
    yield from _linear("attention.key", size, width, bias=decoder.attention == "dot").items()
    if decoder.attention == "dot":
        yield from _recurrent("lower", cell, inputs, units).items()
        yield from _recurrent("upper", cell, units + decoder.heads * size, units, decoder.layers).items()
        return
    channels, taps = decoder.location_channels, 2 * decoder.location_width + 1
    yield "attention.convolution.weight", (channels, 1, taps)
    yield from _linear("attention.location", channels, width, bias=False).items()
    yield from _linear("attention.score", width, 1, bias=False).items()
    yield from _recurrent("layers", cell, inputs + size, units, decoder.layers).items()
    yield from _linear("joint", units + size, units).items()


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    return shapes | {f"{name}.bias": (outputs,)} if bias else shapes


def _recurrent(name: str, cell: Cell, inputs: int, units: int, layers: int = 1) -> Shapes:
    rows = GATES[cell] * units
    shapes: Shapes = {}
    for layer in range(layers):
        shapes |= {
            f"{name}.weight_ih_l{layer}": (rows, units if layer else inputs),
            f"{name}.weight_hh_l{layer}": (rows, units),
            f"{name}.bias_ih_l{layer}": (rows,),
            f"{name}.bias_hh_l{layer}": (rows,),
        }
    return shapes
