import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The networks of the tests are small: on a busy machine a second thread costs far more than it brings.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from asr_seq2seq.training_config import Config, validate


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--count", type=int, default=0, help="mutations of each form in tests/fuzz, with -m slow"
    )


TINY: dict[str, Any] = {
    "features.sample_rate": 8000,
    "features.mels": 10,
    "model.encoder.layers": [{"units": 6, "reduction": 2}, {"units": 5, "reduction": 2}],
    "model.context.size": 8,
    "model.decoder.units": 8,
    "model.decoder.embedding": 5,
    "model.decoder.attention_size": 6,
    "model.decoder.heads": 2,
    "model.decoder.location_channels": 3,
    "model.decoder.location_width": 4,
    "decoding.no_speech_threshold": 1.0,  # most sounds of the tests are noise
    "data.workers": 0,
}


@pytest.fixture(scope="session")
def make_config() -> Callable[..., Config]:
    """A tiny recipe; changes are given by dotted names, e.g. make_config({"model.ctc_weight": 0})."""

    def make(changes: dict[str, Any] | None = None) -> Config:
        tree: dict[str, Any] = {}
        changes = changes or {}
        for key, value in (TINY | changes).items():
            if key not in changes and key.partition(".")[0] in changes:  # a whole room is given
                continue
            *rooms, name = key.split(".")
            node = tree
            for room in rooms:
                node = node.setdefault(room, {})
            node[name] = value
        return validate(tree, "the tiny recipe")

    return make


@pytest.fixture(scope="session")
def make_sounds() -> Callable[..., Any]:
    """Noise of the given lengths in samples, each louder than the one before."""
    import torch

    def make(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return [
            0.05 * (number + 1) * torch.randn(length, generator=generator)
            for number, length in enumerate(lengths)
        ]

    return make


@pytest.fixture(scope="session")
def make_model(make_config: Callable[..., Config]) -> Callable[..., Any]:
    """The tiny recipe's network with random weights, in evaluation mode."""
    import torch

    from asr_seq2seq.model.seq2seq import Seq2Seq

    def make(
        changes: dict[str, Any] | None = None, vocabulary: int = 9, seed: int = 0, scale: float = 1.0
    ) -> Seq2Seq:
        torch.manual_seed(seed)
        model = Seq2Seq(make_config(changes), vocabulary).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(scale)
        return model

    return make


@pytest.fixture(scope="session")
def make_language_model() -> Callable[..., Any]:
    """A tiny language model with random weights over an alphabet, in evaluation mode."""
    import torch

    from asr_seq2seq.model.files import LanguageModelFile
    from asr_seq2seq.model.language_model import LanguageModel
    from asr_seq2seq.text.normalizer import Normalizer
    from asr_seq2seq.text.tokenizer import Alphabet
    from asr_seq2seq.training_config import validate_language_model

    def make(characters: str, seed: int = 0, scale: float = 1.0, units: int = 8) -> LanguageModelFile:
        torch.manual_seed(seed)
        shape = {"embedding": 5, "units": units, "layers": 2, "dropout": 0.5}
        config, alphabet = validate_language_model({"model": shape}, "the tiny recipe"), Alphabet(characters)
        model = LanguageModel(config, len(alphabet)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(scale)
        return LanguageModelFile(
            model, config.settings(), alphabet, Normalizer.named("english-v1"), {"sentences": 0}
        )

    return make


@pytest.fixture(scope="session")
def make_onnx() -> Callable[..., Any]:
    """A network of PyTorch -> the same weights in onnxruntime."""
    from asr_seq2seq.model_file.storage import ModelArrays
    from asr_seq2seq.runtime.onnx_model import OnnxModel
    from asr_seq2seq.text.normalizer import Normalizer
    from asr_seq2seq.text.tokenizer import FIRST_CHARACTER, Alphabet

    def make(model: Any, config: Config, **options: Any) -> OnnxModel:
        from asr_seq2seq.runtime.session import RuntimeOptions

        letters = "".join(chr(ord("A") + n) for n in range(model.decoder.vocabulary - FIRST_CHARACTER))
        arrays = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
        read = ModelArrays(arrays, config, Alphabet(letters), Normalizer.named("none"), {})
        return OnnxModel(read, RuntimeOptions(**options))

    return make


@pytest.fixture(scope="session")
def write_wav() -> Callable[..., Path]:
    """Write noise of some seconds; the samples are those of a floating-point file."""
    import numpy as np
    import soundfile

    def write(path: Path, seconds: float, rate: int = 16000, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
        soundfile.write(path, samples.astype(np.float32), rate, subtype="FLOAT")
        return path

    return write


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech that is kept outside of the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ASR_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the shared speech corpora are not at {folder}; set ASR_SHARED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def tiny_model(make_config: Callable[..., Config], make_model: Callable[..., Any]) -> Any:
    """A whole recognizer in memory, with random weights."""
    from asr_seq2seq.model.files import ModelFile
    from asr_seq2seq.text.normalizer import Normalizer
    from asr_seq2seq.text.tokenizer import FIRST_CHARACTER, Alphabet

    config = make_config({"model.decoder.attention": "dot"})
    alphabet = Alphabet(" aeginot")
    model = make_model({"model.decoder.attention": "dot"}, FIRST_CHARACTER + len(alphabet.characters))
    return ModelFile(
        model, config.recognizer(), alphabet, Normalizer.named("english-v1"), {"trained_on": ["nothing"]}
    )
