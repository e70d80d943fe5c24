"""A tiny model with random weights behind the protocol: in PyTorch, and in onnxruntime."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_seq2seq.decoding.beam import search
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.scorers import LanguageModelScorer
from asr_seq2seq.model.features import pad
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.runtime.protocol import AcousticModel
from asr_seq2seq.text.tokenizer import Alphabet

Make = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Graphs are kept in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", params=["onnx", "torch"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which library computes the model."""
    return str(request.param)


@dataclass(frozen=True)
class Case:
    """A network, what it encodes of some sounds, and both behind the protocol."""

    network: Seq2Seq
    reference: Encoded
    model: AcousticModel
    sounds: list[Tensor]

    def search(self, options: DecodingOptions, lm: Any = None) -> list[list[Hypothesis]]:
        """Of all sounds as one batch."""
        return search(self.model, self.encode(self.sounds), options, lm)

    def alone(self, options: DecodingOptions, lm: Any = None) -> list[list[Hypothesis]]:
        """Of each sound in a batch of its own."""
        return [search(self.model, self.encode([sound]), options, lm)[0] for sound in self.sounds]

    def encode(self, sounds: list[Tensor]) -> Any:
        """What the backend encodes of one batch."""
        inputs, lengths = (part.numpy() for part in pad(sounds))
        return self.model.encode(*self.model.features(inputs, lengths))


@pytest.fixture(scope="session")
def make_case(backend: str, make_model: Make, make_config: Make, make_onnx: Make) -> Callable[..., Case]:
    """Settings and sounds -> a `Case`; `change` is done to the network first."""
    from asr_seq2seq.model.torch_backend import TorchAcousticModel

    def make(
        changes: dict[str, Any] | None,
        sounds: list[Tensor],
        change: Callable[[Seq2Seq], object] = lambda network: None,
        **shape: Any,
    ) -> Case:
        network = make_model(changes, **shape)
        with torch.no_grad():
            change(network)
            reference = network.encode(*pad(sounds))
        model = (
            TorchAcousticModel(network) if backend == "torch" else make_onnx(network, make_config(changes))
        )
        return Case(network, reference, model, sounds)

    return make


@pytest.fixture(scope="session")
def scorer_of(backend: str) -> Callable[..., LanguageModelScorer]:
    """A language model in PyTorch, and the recognizer's alphabet -> a scorer over the backend's form."""
    from asr_seq2seq.model.torch_backend import TorchLanguageModel
    from asr_seq2seq.model_file.storage import ModelArrays
    from asr_seq2seq.runtime.onnx_language_model import OnnxLanguageModel

    def make(lm: Any, alphabet: Alphabet, cost: float = 0.0) -> LanguageModelScorer:
        model: Any = TorchLanguageModel(lm.model)
        if backend == "onnx":
            arrays = {name: np.asarray(tensor) for name, tensor in lm.model.state_dict().items()}
            model = OnnxLanguageModel(ModelArrays(arrays, lm.config, lm.alphabet, lm.normalizer, {}))
        return LanguageModelScorer(model, lm.alphabet, alphabet, cost)

    return make
