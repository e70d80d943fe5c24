"""A model file read into NumPy arrays and settings: what recognition needs of it, without PyTorch."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from asr_seq2seq import bundled
from asr_seq2seq.config import Config, LanguageModelConfig, validate, validate_language_model
from asr_seq2seq.errors import AsrError, ModelFileError, brief
from asr_seq2seq.files import parse_json
from asr_seq2seq.runtime.parameters import Shapes, acoustic_parameters, language_model_parameters
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

Arrays = dict[str, npt.NDArray[np.float32]]
_Settings = TypeVar("_Settings", Config, LanguageModelConfig)

FORMAT = "asr_seq2seq/1"
LANGUAGE_MODEL_FORMAT = "asr_seq2seq_lm/1"
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it
# What such a file holds, and the verb that writes it.
_KINDS = {"asr_seq2seq": ("a recognizer", "train"), "asr_seq2seq_lm": ("a language model", "train-lm")}
_AGAIN = "copy or train it again"


@dataclass(frozen=True)
class ModelArrays(Generic[_Settings]):
    """A model in memory: its arrays by parameter name, in float32, and all that is needed to use them."""

    arrays: Arrays
    config: _Settings
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any]

    @property
    def parameters(self) -> int:
        """The number of weights that training changes; statistics of features are none."""
        return sum(array.size for name, array in self.arrays.items() if not name.startswith("features."))


def read_model(path: str | Path | None = None) -> ModelArrays[Config]:
    """Read a recognizer's model file, or a bundled one by its name; that of digits where `path` is None.

    Raises ModelFileError in one sentence for a file that is missing, cut short, changed, from another
    program, or from a newer version.
    """
    path = bundled.default() if path is None else bundled.find(path)
    return _read_arrays(path, FORMAT, validate, acoustic_parameters)


def read_language_model(path: str | Path) -> ModelArrays[LanguageModelConfig]:
    """The same for a language model of `train-lm`."""
    return _read_arrays(
        bundled.find(path), LANGUAGE_MODEL_FORMAT, validate_language_model, language_model_parameters
    )


def _read_arrays(
    path: Path,
    wanted: str,
    check: Callable[[dict[str, Any], str], _Settings],
    parameters: Callable[[_Settings, int], Shapes],
) -> ModelArrays[_Settings]:
    """The arrays of a file of the format `wanted`, which are those that its settings call for."""
    content = read_bytes(path)
    metadata = _metadata(path, content, wanted)
    try:
        arrays = load_arrays(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path}: is damaged or cut short ({brief(str(error))}); {_AGAIN}") from None
    with blaming(path):
        config, alphabet, normalizer, provenance = described(metadata, check)
        if {name: array.shape for name, array in arrays.items()} != parameters(config, len(alphabet)):
            raise ModelFileError("its weights do not fit its own description")
        for name, array in arrays.items():
            if array.dtype.kind != "f":
                raise ModelFileError(f"the weights {name} are not floating-point numbers")
            if not np.isfinite(array).all():
                raise ModelFileError("not all of its weights are finite")
    floats = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    return ModelArrays(floats, config, alphabet, normalizer, provenance)


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


def described(
    metadata: dict[str, Any], check: Callable[[dict[str, Any], str], _Settings]
) -> tuple[_Settings, Alphabet, Normalizer, dict[str, Any]]:
    """Settings, alphabet, normalizer and provenance of what `describe` returned."""
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
def blaming(path: Path) -> Iterator[None]:
    """What is wrong with a file's content becomes a ModelFileError that names the file."""
    try:
        yield
    except AsrError as error:
        raise ModelFileError(
            f"{path}: its description is not valid ({brief(str(error), 110)}); copy or train it again"
        ) from None


def read_bytes(path: Path) -> bytes:
    """The content of a model file; ModelFileError where there is none."""
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
