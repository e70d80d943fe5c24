"""The graphs give what the PyTorch model gives, for every setting of the network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_seq2seq.model.features import build_features, pad
from asr_seq2seq.model.torch_backend import TorchAcousticModel
from asr_seq2seq.model_file.parameters import acoustic_parameters, language_model_parameters
from asr_seq2seq.runtime.features import FrontEnd
from asr_seq2seq.runtime.onnx_model import OnnxModel

Make = Callable[..., Any]
VOCABULARY = 12
DECODERS: list[dict[str, Any]] = [
    {"model.decoder.attention": "none"},
    {"model.decoder.attention": "none", "model.decoder.layers": 2},
    {"model.decoder.attention": "dot", "model.decoder.heads": 1},
    {"model.decoder.attention": "dot", "model.decoder.heads": 3, "model.decoder.layers": 2},
    {"model.decoder.attention": "location"},
    {"model.decoder.attention": "location", "model.decoder.layers": 3, "model.decoder.location_width": 40},
]
NETWORKS: list[dict[str, Any]] = [
    {"model.context.pooling": "mean"},
    {"model.context.pooling": "attentive"},
    {"model.context.pooling": "last"},
    {"model.context.pooling": "last", "model.encoder.bidirectional": False},
    {"model.encoder.bidirectional": False},
    {"model.ctc_weight": 0},
    {"model.encoder.layers": [{"units": 7, "reduction": 3}, {"units": 4}]},
    {"model.encoder.layers": [{"units": 4}]},
    {"model.encoder.layers": [{"units": 4, "reduction": 2}] * 4},
    {"features.mels": 23, "features.normalization": "corpus"},
]


def assert_same(network: Any, onnx: OnnxModel, sounds: list[Tensor], tolerance: float = 1e-4) -> None:
    """Encoder outputs and, along a few steps of two hypotheses, logits and attention."""
    models = [TorchAcousticModel(network), onnx]
    inputs, lengths = (part.numpy() for part in pad(sounds))
    features, feature_lengths = models[0].features(inputs, lengths)
    encoded = [model.encode(np.asarray(features), feature_lengths) for model in models]
    assert encoded[0].lengths.tolist() == encoded[1].lengths.tolist()
    assert (encoded[0].ctc is None) == (encoded[1].ctc is None)
    if encoded[0].ctc is not None:
        for row, frames in enumerate(encoded[0].lengths):
            np.testing.assert_allclose(
                encoded[1].ctc[row, :frames], encoded[0].ctc[row, :frames], rtol=0, atol=tolerance
            )
    states = [model.start(one) for model, one in zip(models, encoded, strict=True)]
    tokens = np.ones(len(sounds), np.int64)
    for step in range(7):
        found = [m.step(state, tokens, attention=True) for m, state in zip(models, states, strict=True)]
        np.testing.assert_allclose(log_softmax(found[1][0]), log_softmax(found[0][0]), rtol=0, atol=tolerance)
        assert (found[0][1] is None) == (found[1][1] is None)
        if found[0][1] is not None:
            np.testing.assert_allclose(found[1][1], found[0][1], rtol=0, atol=tolerance)
        states = [state for _, _, state in found]
        if step == 1:
            rows = np.repeat(np.arange(len(sounds)), 2)
            states, tokens = [state.select(rows) for state in states], np.repeat(tokens, 2)
        if step == 2:
            rows = np.arange(len(tokens)).reshape(-1, 2)[:, ::-1].ravel()
            states = [state.select(rows) for state in states]
        if step == 4:
            kept = np.array([0, 2])
            states, tokens = [state.keep(kept) for state in states], tokens[:4]
        tokens = (np.arange(len(tokens)) * 5 + step) % VOCABULARY


def log_softmax(logits: Any) -> Any:
    return torch.from_numpy(np.asarray(logits)).double().log_softmax(-1).numpy()


@pytest.fixture(scope="module")
def both(make_model: Make, make_config: Make, make_onnx: Make) -> Callable[..., tuple[Any, OnnxModel]]:
    def make(changes: dict[str, Any], **options: Any) -> tuple[Any, OnnxModel]:
        network = make_model(changes, VOCABULARY, scale=3.0)
        return network, make_onnx(network, make_config(changes), **options)

    return make


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_decoders_and_cells(both: Make, make_sounds: Make, decoder: dict[str, Any], cell: str) -> None:
    changes = decoder | {"model.decoder.cell": cell, "model.encoder.cell": cell}
    assert_same(*both(changes), make_sounds(4000, 2501, 1))


@pytest.mark.parametrize("changes", NETWORKS, ids=str)
def test_encoders_contexts_and_heads(both: Make, make_sounds: Make, changes: dict[str, Any]) -> None:
    assert_same(*both(changes | {"model.decoder.attention": "dot"}), make_sounds(4000, 2501, 1))


def test_a_cell_of_its_own_for_each_half(both: Make, make_sounds: Make) -> None:
    changes = {"model.decoder.attention": "dot", "model.decoder.cell": "gru", "model.encoder.cell": "lstm"}
    assert_same(*both(changes), make_sounds(4000, 2501, 1))


def test_long_sounds_with_location_attention(both: Make, make_sounds: Make) -> None:
    """Of several blocks of frames, the last of which is not full."""
    assert_same(*both({"model.decoder.attention": "location"}), make_sounds(12000, 8001, 3000))


@pytest.mark.parametrize("attention", ["none", "dot", "location"])
def test_utterances_leave_with_all_their_rows(both: Make, make_sounds: Make, attention: str) -> None:
    _, model = both({"model.decoder.attention": attention})
    inputs, lengths = (part.numpy() for part in pad(make_sounds(3000, 2000, 2500)))
    encoded = model.encode(*model.features(inputs, lengths))
    kept, tokens = np.array([2, 0]), np.array([4, 5, 6])
    _, _, state = model.step(model.start(encoded), tokens)
    whole, _, _ = model.step(state, tokens)
    part, _, _ = model.step(state.keep(kept), tokens[kept])
    np.testing.assert_allclose(part, whole[kept], rtol=0, atol=1e-5)
    _, _, state = model.step(model.start(encoded.keep(kept)), tokens[kept])
    again, _, _ = model.step(state, tokens[kept])
    np.testing.assert_allclose(again, whole[kept], rtol=0, atol=1e-5)


LOG_MELS: list[dict[str, Any]] = [
    {},
    {"normalization": "none"},
    {"normalization": "corpus"},
    {"level": True},
    {"sample_rate": 8000, "mels": 23, "window_seconds": 0.032, "low_hertz": 0.0, "high_hertz": 3800.0},
    {"window_seconds": 0.0231, "hop_seconds": 0.0077, "high_hertz": 3100, "normalization": "none"},
    {"sample_rate": 44100, "floor": 1e-4},
]


@pytest.mark.parametrize("changes", LOG_MELS, ids=str)
def test_log_mel(make_config: Make, make_sounds: Make, changes: dict[str, Any]) -> None:
    config = make_config({"features": changes}).features
    torch.manual_seed(0)
    module = build_features(config).eval()
    module.mean.copy_(torch.randn(module.size))
    module.deviation.copy_(torch.rand(module.size) + 0.5)
    front_end = FrontEnd(
        config, {f"features.{name}": buffer.numpy() for name, buffer in module.state_dict().items()}
    )
    sounds = make_sounds(20000, 30001, 1, 79, 80)
    sound, lengths = pad([sounds[1], sounds[0], *sounds[2:]])
    sound[1:, 25000:] = 0.3  # what stands behind an end is not read
    expected, expected_lengths = module(sound, lengths)
    found, found_lengths = front_end(sound.numpy(), lengths.numpy())
    assert found_lengths.tolist() == expected_lengths.tolist()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalization", ["utterance", "corpus", "none"])
def test_a_value_that_hardly_changes_keeps_its_mean(make_config: Make, normalization: str) -> None:
    """Above the band of a telephone all is at the floor: an error of the mean would be divided by little."""
    config = make_config({"features": {"normalization": normalization, "mels": 80}}).features
    module = build_features(config).eval()
    front_end = FrontEnd(
        config, {f"features.{name}": buffer.numpy() for name, buffer in module.state_dict().items()}
    )
    time = torch.arange(160000) / 16000
    sound = sum(0.1 * torch.sin(2 * torch.pi * hertz * time) for hertz in (300, 700, 1500))
    sound = sound + 1e-5 * torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([len(time)])
    found, _ = front_end(sound[None].numpy(), lengths.numpy())
    np.testing.assert_allclose(found, module(sound[None], lengths)[0].numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("normalization", ["utterance", "corpus", "none"])
def test_precomputed_features(both: Make, make_config: Make, deltas: int, normalization: str) -> None:
    features = {"kind": "precomputed", "size": 5, "deltas": deltas, "normalization": normalization}
    network, onnx = both({"features": features, "model.decoder.attention": "dot"})
    generator = torch.Generator().manual_seed(1)
    frames = [torch.randn(count, 5, generator=generator) for count in (40, 3, 17)]
    inputs, lengths = pad(frames)
    found, found_lengths = onnx.features(inputs.numpy(), lengths.numpy())
    expected, _ = network.features(inputs, lengths)
    assert found_lengths.tolist() == [40, 3, 17]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)
    assert_same(network, onnx, frames)


@pytest.mark.parametrize("layers", [1, 3])
def test_language_models(layers: int, make_language_model: Make) -> None:
    from asr_seq2seq.model.language_model import LanguageModel
    from asr_seq2seq.model.torch_backend import TorchLanguageModel
    from asr_seq2seq.model_file.storage import ModelArrays
    from asr_seq2seq.runtime.onnx_language_model import OnnxLanguageModel
    from asr_seq2seq.training_config import validate_language_model

    lm = make_language_model("abcde")
    config = validate_language_model({"model": {"embedding": 5, "units": 8, "layers": layers}}, "the test")
    torch.manual_seed(0)
    network = LanguageModel(config, len(lm.alphabet)).eval()
    arrays = {name: 3 * tensor.numpy() for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    assert {n: a.shape for n, a in arrays.items()} == language_model_parameters(config, len(lm.alphabet))
    read = ModelArrays(arrays, config, lm.alphabet, lm.normalizer, {})
    models = [TorchLanguageModel(network), OnnxLanguageModel(read)]
    states, tokens = [model.start(3) for model in models], np.array([1, 1, 1])
    for step in range(6):
        found = [model.step(state, tokens) for model, state in zip(models, states, strict=True)]
        np.testing.assert_allclose(found[1][0], found[0][0], rtol=0, atol=1e-4)
        rows = np.array([2, 0, 0, 1])[: 3 + step % 2] % len(tokens)
        states = [state.select(rows) for _, state in found]
        tokens = 4 + (np.arange(len(rows)) + step) % 5


@pytest.mark.parametrize(
    "changes", [*NETWORKS, *DECODERS, {"features": {"kind": "precomputed", "size": 3, "deltas": 1}}], ids=str
)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_table_of_parameters_is_the_network(
    make_model: Make, make_config: Make, changes: dict[str, Any], cell: str
) -> None:
    changes = changes | {"model.decoder.cell": cell, "model.encoder.cell": cell}
    state = make_model(changes, VOCABULARY).state_dict()
    expected = acoustic_parameters(make_config(changes), VOCABULARY)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


@pytest.mark.parametrize(("attention", "heads"), [("none", 1), ("dot", 1), ("dot", 2), ("location", 1)])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_8_bits_are_near(
    make_model: Make,
    make_config: Make,
    make_onnx: Make,
    make_sounds: Make,
    attention: str,
    heads: int,
    cell: str,
) -> None:
    changes: dict[str, Any] = {"model.decoder.attention": attention, "model.decoder.heads": heads}
    changes |= {"model.decoder.cell": cell, "model.encoder.cell": cell}
    network = make_model(changes, VOCABULARY)
    onnx = make_onnx(network, make_config(changes), compute_type="int8")
    assert_same(network, onnx, make_sounds(4000, 2501, 1), tolerance=0.1)
