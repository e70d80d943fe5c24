"""One `.safetensors` file that holds a whole recogniser: weights, settings, alphabet, provenance.

The tensors are the network's weights; everything else is one JSON text in the file's metadata.
Nothing is ever unpickled. `write_file` and `read_file` are the same for a language model.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn
from torch.overrides import TorchFunctionMode

from asr_seq2seq import __version__, bundled
from asr_seq2seq.config import Config, SearchConfig, validate
from asr_seq2seq.errors import AsrError, ConfigError, ModelFileError, brief
from asr_seq2seq.files import atomic_write, parse_json
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.onnx_file import is_onnx_form, read_archive
from asr_seq2seq.onnx_model import OnnxModel
from asr_seq2seq.text import Alphabet, Normalizer

FORMAT = "asr_seq2seq/1"
LANGUAGE_MODEL_FORMAT = "asr_seq2seq_lm/1"
# By the name before the version: what such a file holds, and the verb that writes it.
_KINDS = {"asr_seq2seq": ("a recogniser", "train"), "asr_seq2seq_lm": ("a language model", "train-lm")}

_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it


@dataclass(frozen=True)
class ModelFile:
    """A recogniser in memory: the network in evaluation mode and all that is needed to use it."""

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

    def with_provenance(self, **facts: Any) -> ModelFile:
        """The same recogniser, of whose making these facts are known too."""
        return replace(self, provenance=self.provenance | facts)

    def with_search(self, **settings: Any) -> ModelFile:
        """The same recogniser with these search settings as its own."""
        search = self.config.search.changed(**settings)
        return replace(self, config=self.config.model_copy(update={"search": search}))


_Network = TypeVar("_Network", bound=nn.Module)
_Settings = TypeVar("_Settings", bound=BaseModel)


def save_model(path: Path, recogniser: ModelFile, *, half: bool = False) -> None:
    """Write `path`, all or nothing; `half` stores the weights as float16, half the size.

    Raises ModelFileError for an exported form, whose weights are in its graphs.
    """
    if not isinstance(recogniser.model, Seq2Seq):
        raise ModelFileError(f"{path}: an exported form cannot be written as a model file; give its original")
    write_file(
        path,
        FORMAT,
        recogniser.model,
        recogniser.config,
        recogniser.alphabet,
        recogniser.normalizer,
        recogniser.provenance,
        half=half,
    )


def load_model(path: str | Path | None = None, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model file, or a bundled model by its name; that of spoken English digits where `path` is None.

    What `export` wrote is recognised by its content and runs on the CPU, whatever the device. Raises
    ModelFileError in one sentence for a file that is missing, cut short, changed, from another
    program, or from a newer version.
    """
    path = bundled.default() if path is None else bundled.find(path)
    if is_onnx_form(path):
        return _load_onnx_form(path)
    return ModelFile(*read_file(path, FORMAT, validate, Seq2Seq, device))


def _load_onnx_form(path: Path) -> ModelFile:
    metadata, graphs = read_archive(path, _read(path))
    with _blaming(path):
        description = _described(metadata, validate)
    config, alphabet, *_ = description
    # All that is asked of a recogniser's network outside of training, an OnnxModel has too.
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


def _weights(recogniser: ModelFile) -> dict[str, torch.Tensor]:
    return recogniser.model.state_dict()


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


def read_file(
    path: Path,
    wanted: str,
    check: Callable[[dict[str, Any], str], _Settings],
    build: Callable[[_Settings, int], _Network],
    device: torch.device | str,
) -> tuple[_Network, _Settings, Alphabet, Normalizer, dict[str, Any]]:
    """The network in evaluation mode, its settings, alphabet, normaliser and provenance.

    `check` turns a table into settings, `build` makes the network from these and the alphabet's size. It is
    built without memory first and compared with the tensors that the file has, whatever the settings say.
    """
    content = _read(path)
    metadata = _metadata(path, content, wanted)
    try:
        tensors = load_tensors(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelFileError(
            f"{path}: is damaged or cut short ({brief(str(error))}); copy or train it again"
        ) from None
    with _blaming(path):
        config, alphabet, normalizer, provenance = _described(metadata, check)
        with torch.device("meta"), _Uninitialized():
            model = build(config, len(alphabet))
        _check_tensors(model, tensors)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    model.to(device).eval()
    return model, config, alphabet, normalizer, provenance


class _Uninitialized(TorchFunctionMode):
    """Lets modules leave their parameters as they are made: what is without memory has no first values.

    torch would import its compilers, which takes seconds, to draw normal numbers there.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), settings: Any = None) -> Any:
        settings = settings or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return settings["tensor"] if "tensor" in settings else args[0]
        return function(*args, **settings)


def _check_tensors(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """ModelFileError where the tensors of a file are not those that the network has, or not finite."""
    needed = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if needed != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        raise ModelFileError("its weights do not fit its own description")
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            raise ModelFileError(f"the weights {name} are not floating-point numbers")
        if not bool(tensor.float().isfinite().all()):
            raise ModelFileError("not all of its weights are finite")


class _Description(BaseModel):
    """What a model file tells beside its weights, in the header of the file."""

    model_config = ConfigDict(strict=True)

    config: dict[str, Any]
    alphabet: list[Any]
    normalizer: str
    provenance: dict[str, Any]

    @field_validator("provenance")
    @classmethod
    def _is_plain(cls, provenance: dict[str, Any]) -> dict[str, Any]:
        for name in ("longest_seconds", "dev_perplexity"):  # what is computed with
            value = provenance.get(name, 1.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
                raise ValueError(f"{name} is no number above 0")
        if not _is_shallow(provenance, 10):
            raise ValueError("tables and lists in it are nested too deeply")
        return provenance


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (levels > 0 and all(_is_shallow(one, levels - 1) for one in inner))


def _described(
    metadata: dict[str, Any], check: Callable[[dict[str, Any], str], _Settings]
) -> tuple[_Settings, Alphabet, Normalizer, dict[str, Any]]:
    """Settings, alphabet, normaliser and provenance of what `describe` returned."""
    try:
        found = _Description.model_validate(metadata)
    except ValidationError as error:
        problem = error.errors()[0]
        place, message = problem["loc"][0], problem["msg"].removeprefix("Value error, ")
        raise ModelFileError(f"{place}: {message[:1].lower()}{message[1:]}") from None
    config = check(found.config, "its configuration")
    alphabet = Alphabet.from_json(found.alphabet)
    return config, alphabet, Normalizer.named(found.normalizer), found.provenance


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """What is wrong with a file's content becomes a ModelFileError that names the file."""
    try:
        yield
    except AsrError as error:
        raise ModelFileError(
            f"{path}: its description is not valid ({brief(str(error), 110)}); copy or train it again"
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(
            f"{path}: no such model file; training writes runs/NAME/model.safetensors, and the package has "
            f"{', '.join(bundled.names())}"
        ) from None
    except IsADirectoryError:
        raise ModelFileError(
            f"{path}: is a folder; give the model file in it, e.g. model.safetensors"
        ) from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _metadata(path: Path, content: bytes, wanted: str) -> dict[str, Any]:
    """Our JSON in the header: 8 bytes of length, then a JSON table with `__metadata__`."""
    kind_wanted = wanted.partition("/")[0]
    needed, verb = _KINDS[kind_wanted]
    foreign = f"{path}: is not a model file of this program; give a .safetensors file that `{verb}` wrote"
    if len(content) < 8:
        raise ModelFileError(foreign)
    (size,) = struct.unpack("<Q", content[:8])
    if len(content) < 8 + size and content[8:9] == b"{":
        raise ModelFileError(f"{path}: is cut short; copy it again")
    if size > _LONGEST_HEADER:
        raise ModelFileError(foreign)
    try:
        metadata = parse_json(parse_json(content[8 : 8 + size])["__metadata__"]["asr_seq2seq"])
        made_with = metadata["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(foreign) from None
    kind = str(made_with).partition("/")[0]
    if kind != kind_wanted and kind in _KINDS:
        raise ModelFileError(
            f"{path}: holds {_KINDS[kind][0]}, not {needed}; give a file that `{verb}` wrote"
        )
    if made_with != wanted or not isinstance(metadata, dict):
        raise ModelFileError(
            f"{path}: has the format {brief(str(made_with))}, this program reads {wanted}; "
            "install the version that made it"
        )
    return metadata
