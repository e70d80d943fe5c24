"""One `.safetensors` file that holds a whole recognizer: weights, settings, alphabet, provenance.

The tensors are the network's weights; everything else is one JSON text in the file's metadata.
Nothing is ever unpickled. `write_file` and `build_network` are the same for a language model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from pydantic import BaseModel
from safetensors.torch import save as save_tensors
from torch import nn
from torch.overrides import TorchFunctionMode

from asr_seq2seq import __version__, bundled
from asr_seq2seq.config import Config, LanguageModelConfig, SearchConfig, validate
from asr_seq2seq.errors import ConfigError, ModelFileError
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.model_file.arrays import FORMAT, ModelArrays, blaming, described, read_bytes, read_model
from asr_seq2seq.onnx_file import is_onnx_form, read_archive
from asr_seq2seq.onnx_model import OnnxModel
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

if TYPE_CHECKING:
    from asr_seq2seq.inference.loading import LoadedModel


@dataclass(frozen=True)
class ModelFile:
    """A recognizer in memory: the network in evaluation mode and all that is needed to use it."""

    model: Seq2Seq
    config: Config
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)

    def searching(self, **given: Any) -> SearchConfig:
        """Its own search settings with those that are given, not None, in their place."""
        if given.get("ctc_weight") and not self.config.model.ctc_weight:
            raise ConfigError("this model has no CTC head, so that ctc_weight must be 0 or left out")
        if given.get("coverage_weight") and self.config.model.decoder.attention == "none":
            raise ConfigError("this model has no attention, so that coverage_weight must be 0 or left out")
        return self.config.search.changed(**given)

    @property
    def device(self) -> torch.device:
        """Where sound has to be for the network to hear it."""
        return next((weight.device for weight in self.model.parameters()), torch.device("cpu"))

    @property
    def longest_seconds(self) -> float:
        """The longest sound that it has heard in training; a longer one is better cut into pieces."""
        return float(self.provenance.get("longest_seconds", self.config.data.max_seconds))

    def loaded(self) -> LoadedModel:
        """The same behind the protocol of decoding, computed by PyTorch on the network's device."""
        from asr_seq2seq.inference.loading import LoadedModel
        from asr_seq2seq.model.torch_backend import TorchAcousticModel

        acoustic = TorchAcousticModel(self.model)
        return LoadedModel(acoustic, self.config, self.alphabet, self.normalizer, self.provenance)

    def with_provenance(self, **facts: Any) -> ModelFile:
        """The same recognizer, of whose making these facts are known too."""
        return replace(self, provenance=self.provenance | facts)

    def with_search(self, **settings: Any) -> ModelFile:
        """The same recognizer with these search settings as its own."""
        search = self.config.search.changed(**settings)
        return replace(self, config=self.config.model_copy(update={"search": search}))


_Network = TypeVar("_Network", bound=nn.Module)
_Settings = TypeVar("_Settings", Config, LanguageModelConfig)


def save_model(path: Path, recognizer: ModelFile, *, half: bool = False) -> None:
    """Write `path`, all or nothing; `half` stores the weights as float16, half the size.

    Raises ModelFileError for an exported form, whose weights are in its graphs.
    """
    if not isinstance(recognizer.model, Seq2Seq):
        raise ModelFileError(f"{path}: an exported form cannot be written as a model file; give its original")
    write_file(
        path,
        FORMAT,
        recognizer.model,
        recognizer.config,
        recognizer.alphabet,
        recognizer.normalizer,
        recognizer.provenance,
        half=half,
    )


def load_model(path: str | Path | None = None, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model file, or a bundled model by its name; that of spoken English digits where `path` is None.

    What `export` wrote is recognized by its content and runs on the CPU, whatever the device. Raises
    ModelFileError in one sentence for a file that is missing, cut short, changed, from another
    program, or from a newer version.
    """
    path = bundled.default() if path is None else bundled.find(path)
    if is_onnx_form(path):
        return _load_onnx_form(path)
    arrays = read_model(path)
    model = build_network(arrays, Seq2Seq, device)
    return ModelFile(model, arrays.config, arrays.alphabet, arrays.normalizer, arrays.provenance)


def _load_onnx_form(path: Path) -> ModelFile:
    metadata, graphs = read_archive(path, read_bytes(path))
    with blaming(path):
        description = described(metadata, validate)
    config, alphabet, *_ = description
    # All that is asked of a recognizer's network outside of training, an OnnxModel has too.
    model = cast(Seq2Seq, OnnxModel(path, graphs, config, len(alphabet)))
    return ModelFile(model, *description)


def average_models(paths: Sequence[Path]) -> ModelFile:
    """The model whose weights are the means of those of several, which one run made.

    Raises ModelFileError where there are none or they differ in shape or alphabet.
    """
    if not paths:
        raise ModelFileError("there are no models to average; train with training.keep_epochs=5, for example")
    models = [load_model(path) for path in paths]
    first = models[0]
    total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in _weights(first).items()}
    for path, one in zip(paths, models, strict=True):
        if one.alphabet != first.alphabet or one.config.model != first.config.model:
            raise ModelFileError(f"{path}: is not of the same run as {paths[0]}; average models of one run")
        for name, tensor in _weights(one).items():
            total[name] += tensor
    first.model.load_state_dict({name: (tensor / len(models)).float() for name, tensor in total.items()})
    of_one = ("epoch", "dev_wer", "dev_cer", "dev_loss")
    common = {name: fact for name, fact in models[-1].provenance.items() if name not in of_one}
    return replace(first, provenance=common | {"averaged": [path.name for path in paths]})


def _weights(recognizer: ModelFile) -> dict[str, torch.Tensor]:
    return recognizer.model.state_dict()


def describe(
    made_as: str, config: BaseModel, alphabet: Alphabet, normalizer: Normalizer, provenance: dict[str, Any]
) -> dict[str, Any]:
    """What a file of the format `made_as` holds beside weights, ready for JSON."""
    return {
        "format": made_as,
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "alphabet": alphabet.to_json(),
        "normalizer": normalizer.name,
        "provenance": provenance,
    }


def write_file(
    path: Path,
    made_as: str,
    model: nn.Module,
    config: BaseModel,
    alphabet: Alphabet,
    normalizer: Normalizer,
    provenance: dict[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write a network and its description in the format `made_as`, all or nothing.

    `half` is of its parameters; statistics of features, which may be large, stay as they are.
    ModelFileError for a weight that float16 cannot hold.
    """
    metadata = describe(made_as, config, alphabet, normalizer, provenance)
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        kind = torch.float16 if half and name in parameters else torch.float32
        tensors[name] = tensor.detach().cpu().to(kind).contiguous()
        if kind is torch.float16 and not tensors[name].isfinite().all():
            raise ModelFileError(f"{path}: {name} has weights too large for float16; store it in full")
    content = save_tensors(tensors, {"asr_seq2seq": json.dumps(metadata, ensure_ascii=False)})
    with atomic_write(path, "wb") as file:
        file.write(content)


def build_network(
    arrays: ModelArrays[_Settings],
    build: Callable[[_Settings, int], _Network],
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
