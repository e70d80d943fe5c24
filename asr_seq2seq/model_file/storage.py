"""Model files: safetensors arrays, and one JSON description in the header; read and written in NumPy."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from asr_seq2seq import __version__, bundled
from asr_seq2seq.config import Settings, check
from asr_seq2seq.errors import AsrError, ModelFileError, brief
from asr_seq2seq.files import atomic_write, parse_json
from asr_seq2seq.model_file.parameters import Shapes
from asr_seq2seq.model_file.vocabulary import vocabulary
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

Arrays = dict[str, npt.NDArray[np.float32]]
AnySettings = TypeVar("AnySettings", bound=Settings)

_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it
# What such a file holds, and the verb that writes it.
_KINDS = {
    "asr_seq2seq": ("a recognizer", "train"),
    "asr_seq2seq_lm": ("a language model", "train-lm"),
    "asr_seq2seq_words": ("a language model of words", "train-lm"),
}
_OF_TRAINING = ("seed", "data", "augmentation", "training")  # parts of a recipe that are provenance alone
_ZIP = b"PK\x03\x04"
_AGAIN = "copy or train it again"


@dataclass(frozen=True)
class Kind(Generic[AnySettings]):
    """A kind of model file: its format, its settings, and the shapes of arrays that they call for."""

    format: str
    settings: type[AnySettings]
    parameters: Callable[[AnySettings, int], Shapes]


@dataclass(frozen=True)
class ModelArrays(Generic[AnySettings]):
    """A model in memory: its arrays by parameter name, in float32, and all that is needed to use them.

    `provenance` is plain JSON: how the model was made, with its training settings as `recipe`.
    """

    arrays: Arrays
    config: AnySettings
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """The number of weights that training changes; statistics of features are none."""
        return sum(array.size for name, array in self.arrays.items() if not _is_statistic(name))


def _is_statistic(name: str) -> bool:
    return name.startswith("features.")


def read_file(path: Path, kind: Kind[AnySettings]) -> ModelArrays[AnySettings]:
    """The model in a file of one kind, whose arrays are those that its settings call for.

    Raises ModelFileError in one sentence for a file that is missing, cut short, changed, from another
    program, or from a newer version.
    """
    metadata, arrays = read_arrays(path, kind.format)
    with blaming(path):
        settings, alphabet, normalizer, provenance = described(_as_today(metadata))
        config = check(kind.settings, settings, "its configuration")
        if {name: array.shape for name, array in arrays.items()} != kind.parameters(config, len(alphabet)):
            raise ModelFileError("its weights do not fit its own description")
        for name, array in arrays.items():
            if array.dtype.kind != "f":
                raise ModelFileError(f"the weights {name} are not floating-point numbers")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            floats = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for array in floats.values()):  # slow for float16
            raise ModelFileError("not all of its weights are finite")
    return ModelArrays(floats, config, alphabet, normalizer, provenance)


def read_arrays(path: Path, wanted: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The description and the arrays of a file of the format `wanted`; ModelFileError for any other file."""
    content = read_bytes(path)
    metadata = _checked(path, content, wanted)
    try:
        return metadata, load_arrays(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path}: is damaged or cut short ({brief(str(error))}); {_AGAIN}") from None


def write_file(
    path: Path, kind: Kind[AnySettings], model: ModelArrays[AnySettings], *, half: bool = False
) -> None:
    """Write a model, all or nothing; `half` stores its weights as float16, in half the space.

    Statistics of features, which may be large, stay as they are. ModelFileError for a weight that float16
    cannot hold.
    """
    arrays = {}
    for name, array in model.arrays.items():
        halved = half and not _is_statistic(name)
        with np.errstate(over="ignore"):
            arrays[name] = np.ascontiguousarray(array, np.float16 if halved else np.float32)
        if halved and not np.isfinite(arrays[name]).all():
            raise ModelFileError(f"{path}: {name} has weights too large for float16; store it in full")
    metadata = json.dumps(describe(kind.format, model), ensure_ascii=False)
    with atomic_write(path, "wb") as file:
        file.write(save_arrays(arrays, {"asr_seq2seq": metadata}))


def describe(format_: str, model: ModelArrays[AnySettings]) -> dict[str, Any]:
    """What a file holds beside arrays, ready for JSON."""
    return {
        "format": format_,
        "version": __version__,
        "config": model.config.model_dump(mode="json"),
        "alphabet": model.alphabet.to_json(),
        "normalizer": model.normalizer.name,
        "provenance": model.provenance,
    }


class _Description(BaseModel):
    """What a model file tells beside its weights, in the header of the file."""

    model_config = ConfigDict(strict=True, defer_build=True)

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
        vocabulary(provenance)
        if not _is_shallow(provenance, 10):
            raise ValueError("tables and lists in it are nested too deeply")
        return provenance


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (levels > 0 and all(_is_shallow(one, levels - 1) for one in inner))


def described(metadata: dict[str, Any]) -> tuple[dict[str, Any], Alphabet, Normalizer, dict[str, Any]]:
    """Settings (not yet checked), alphabet, normalizer and provenance of what a file says of itself."""
    try:
        found = _Description.model_validate(metadata)
    except ValidationError as error:
        problem = error.errors()[0]
        place, message = problem["loc"][0], problem["msg"].removeprefix("Value error, ")
        raise ModelFileError(f"{place}: {message[:1].lower()}{message[1:]}") from None
    alphabet = Alphabet.from_json(found.alphabet)
    return found.config, alphabet, Normalizer.named(found.normalizer), found.provenance


def _as_today(metadata: dict[str, Any]) -> dict[str, Any]:
    """The description of an older file as it would be written now.

    Before, `config` was the whole recipe, and the longest utterance was at times known from there alone.
    """
    config, provenance = metadata.get("config"), metadata.get("provenance")
    if not isinstance(config, dict) or not isinstance(provenance, dict):
        return metadata
    recipe = {name: config[name] for name in _OF_TRAINING if name in config}
    own = {name: value for name, value in config.items() if name not in recipe}
    facts: dict[str, Any] = {"recipe": recipe} if recipe else {}
    data = recipe.get("data")
    if isinstance(data, dict) and "max_seconds" in data:
        facts["longest_seconds"] = data["max_seconds"]
    return metadata | {"config": own, "provenance": facts | provenance}


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


def format_of(path: Path, verb: str = "train") -> str:
    """The format that a model file says it has; ModelFileError, which names `verb`, where it is none."""
    return str(_metadata(path, read_bytes(path), verb)["format"])


def _checked(path: Path, content: bytes, wanted: str) -> dict[str, Any]:
    """The description of a file of the format `wanted`."""
    name = wanted.partition("/")[0]
    needed, verb = _KINDS[name]
    metadata = _metadata(path, content, verb)
    made_with = metadata["format"]
    kind = str(made_with).partition("/")[0]
    if kind != name and kind in _KINDS:
        raise ModelFileError(
            f"{path}: holds {_KINDS[kind][0]}, not {needed}; give a file that `{verb}` wrote"
        )
    if made_with != wanted:
        raise ModelFileError(
            f"{path}: has the format {brief(str(made_with))}, this program reads {wanted}; "
            "install the version that made it"
        )
    return metadata


def _metadata(path: Path, content: bytes, verb: str) -> dict[str, Any]:
    """Our JSON in the header: 8 bytes of length, then a JSON table with `__metadata__`."""
    if content.startswith(_ZIP) or path.suffix == ".onnx":
        raise ModelFileError(
            f"{path}: is an exported form for other programs; give the .safetensors model file"
        )
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
        metadata["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(foreign) from None
    if not isinstance(metadata, dict):
        raise ModelFileError(foreign)
    return metadata
