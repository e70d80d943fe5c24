"""From the arrays of a model file to networks of PyTorch, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from asr_seq2seq.config import LanguageModelSettings, RecognizerSettings, Settings
from asr_seq2seq.model.language_model import LanguageModel
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.model_file.acoustic import AcousticArrays, longest_seconds, read_model, write_model
from asr_seq2seq.model_file.language import read_language_model, write_language_model
from asr_seq2seq.model_file.storage import Arrays, ModelArrays
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

if TYPE_CHECKING:
    from asr_seq2seq.inference.loading import LoadedModel

_Network = TypeVar("_Network", bound=nn.Module)
_AnySettings = TypeVar("_AnySettings", bound=Settings)


@dataclass(frozen=True)
class ModelFile:
    """A recognizer in memory: the network in evaluation mode and all that is needed to use it."""

    model: Seq2Seq
    config: RecognizerSettings
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: AcousticArrays, device: torch.device | str = "cpu") -> ModelFile:
        """The network of a file's arrays on `device`."""
        model = build_network(arrays, Seq2Seq, device)
        return cls(model, arrays.config, arrays.alphabet, arrays.normalizer, arrays.provenance)

    def arrays(self) -> AcousticArrays:
        """The same as the arrays of a model file."""
        arrays = arrays_of(self.model)
        return ModelArrays(arrays, self.config, self.alphabet, self.normalizer, self.provenance)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next((weight.device for weight in self.model.parameters()), torch.device("cpu"))

    @property
    def longest_seconds(self) -> float:
        """The longest utterance of training; a longer one is better cut into segments."""
        return longest_seconds(self.provenance)

    def loaded(self) -> LoadedModel:
        """The same behind the protocol of decoding, computed by PyTorch on the network's device."""
        from asr_seq2seq.inference.loading import LoadedModel
        from asr_seq2seq.model.torch_backend import TorchAcousticModel

        acoustic = TorchAcousticModel(self.model)
        return LoadedModel(acoustic, self.config, self.alphabet, self.normalizer, self.provenance)

    def with_provenance(self, **facts: Any) -> ModelFile:
        """The same recognizer, of whose making these facts are known too."""
        return replace(self, provenance=self.provenance | facts)

    def with_decoding(self, **settings: Any) -> ModelFile:
        """The same recognizer with these decoding settings as its own."""
        decoding = self.config.decoding.changed(**settings)
        return replace(self, config=self.config.model_copy(update={"decoding": decoding}))


@dataclass(frozen=True)
class LanguageModelFile:
    """A language model in memory, in evaluation mode, and all that is needed to use it."""

    model: LanguageModel
    config: LanguageModelSettings
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)


def load_model(path: str | Path | None = None, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model file, or a bundled model by its name; `english` where `path` is None.

    Raises ModelFileError in one sentence for a file that is missing, cut short, changed, from another
    program, or from a newer version.
    """
    return ModelFile.of(read_model(path), device)


def save_model(path: Path, recognizer: ModelFile, *, half: bool = False) -> None:
    """Write `path`, all or nothing; `half` stores the weights as float16, half the size."""
    write_model(path, recognizer.arrays(), half=half)


def load_language_model(path: str | Path, device: torch.device | str = "cpu") -> LanguageModelFile:
    """Read a language model; ModelFileError in one sentence for a file that is none, or is damaged."""
    arrays = read_language_model(path)
    model = build_network(arrays, LanguageModel, device)
    return LanguageModelFile(model, arrays.config, arrays.alphabet, arrays.normalizer, arrays.provenance)


def save_language_model(path: Path, lm: LanguageModelFile) -> None:
    """Write `path`, all or nothing."""
    arrays = arrays_of(lm.model)
    model = ModelArrays(arrays, lm.config, lm.alphabet, lm.normalizer, lm.provenance)
    write_language_model(path, model)


def arrays_of(network: nn.Module) -> Arrays:
    """The arrays of a network by parameter name, as a model file holds them."""
    return {name: tensor.detach().cpu().float().numpy() for name, tensor in network.state_dict().items()}


def build_network(
    arrays: ModelArrays[_AnySettings],
    build: Callable[[_AnySettings, int], _Network],
    device: torch.device | str,
) -> _Network:
    """The network of a file's arrays, in evaluation mode on `device`."""
    with torch.device("meta"), _Uninitialized():
        model = build(arrays.config, len(arrays.alphabet))
    tensors = {name: torch.tensor(array) for name, array in arrays.arrays.items()}  # copies
    model.load_state_dict(tensors, assign=True)
    return model.to(device).eval()


class _Uninitialized(TorchFunctionMode):
    """Lets modules leave their parameters as they are made: what is without memory has no first values.

    torch would import its compilers, which takes seconds, to draw normal numbers there.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), settings: Any = None) -> Any:
        settings = settings or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return settings["tensor"] if "tensor" in settings else args[0]
        return function(*args, **settings)
