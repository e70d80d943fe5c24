"""A model file read into NumPy arrays and settings: what recognition needs of it, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from asr_seq2seq import bundled
from asr_seq2seq.config import Config, LanguageModelConfig, validate, validate_language_model
from asr_seq2seq.errors import AsrError, ModelFileError
from asr_seq2seq.runtime.parameters import Shapes, acoustic_parameters, language_model_parameters
from asr_seq2seq.text import Alphabet, Normalizer

Arrays = dict[str, npt.NDArray[np.float32]]
_Settings = TypeVar("_Settings", Config, LanguageModelConfig)

_FORMATS = {"asr_seq2seq": 1, "asr_seq2seq_lm": 1}  # name of the format -> the version that is read
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


def read_model(path: str | Path | None = None) -> ModelArrays[Config]:
    """Read a recognizer's model file, or a bundled one by its name; that of digits where `path` is None.

    Raises ModelFileError in one sentence for a file that is missing, cut short, changed, from another
    program, or from a newer version.
    """
    path = bundled.default() if path is None else bundled.find(path)
    return _read(path, "asr_seq2seq", validate, acoustic_parameters)


def read_language_model(path: str | Path) -> ModelArrays[LanguageModelConfig]:
    """The same for a language model of `train-lm`."""
    return _read(bundled.find(path), "asr_seq2seq_lm", validate_language_model, language_model_parameters)


def _read(
    path: Path,
    kind: str,
    check: Callable[[dict[str, Any], str], _Settings],
    parameters: Callable[[_Settings, int], Shapes],
) -> ModelArrays[_Settings]:
    content = _content(path)
    described = _description(path, content, kind)
    try:
        arrays = load_arrays(content)
    except SafetensorError as error:
        raise ModelFileError(f"{path}: is damaged or cut short ({error}); {_AGAIN}") from None
    try:
        if not isinstance(described["normalizer"], str) or not isinstance(described["provenance"], dict):
            raise ModelFileError("the normalizer is no name or the provenance no table")
        config = check(described["config"], "its configuration")
        alphabet = Alphabet.from_json(described["alphabet"])
        normalizer = Normalizer.named(described["normalizer"])
    except KeyError as error:
        raise ModelFileError(f"{path}: its description lacks {error}; {_AGAIN}") from None
    except AsrError as error:
        raise ModelFileError(f"{path}: its description is not valid ({error}); {_AGAIN}") from None
    if {name: array.shape for name, array in arrays.items()} != parameters(config, len(alphabet)):
        raise ModelFileError(f"{path}: its weights do not fit its own description; {_AGAIN}")
    floats = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    if not all(np.isfinite(array).all() for array in floats.values()):
        raise ModelFileError(f"{path}: not all of its weights are finite; {_AGAIN}")
    return ModelArrays(floats, config, alphabet, normalizer, described["provenance"])


def _content(path: Path) -> bytes:
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


def _description(path: Path, content: bytes, kind: str) -> dict[str, Any]:
    """Our JSON in the header: 8 bytes of length, then a JSON table with `__metadata__`."""
    wanted, verb = _KINDS[kind]
    foreign = f"{path}: is not a model file of this program; give a .safetensors file that `{verb}` wrote"
    if len(content) < 8:
        raise ModelFileError(foreign)
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 + size and content[8:9] == b"{":
        raise ModelFileError(f"{path}: is cut short; copy it again")
    try:
        described = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["asr_seq2seq"])
        written_as = described["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelFileError(foreign) from None
    found = str(written_as).partition("/")[0]
    if found != kind and found in _KINDS:
        raise ModelFileError(
            f"{path}: holds {_KINDS[found][0]}, not {wanted}; give a file that `{verb}` wrote"
        )
    if written_as != f"{kind}/{_FORMATS[kind]}":
        raise ModelFileError(
            f"{path}: has the format {written_as}, this program reads {kind}/{_FORMATS[kind]}; "
            "install the version that made it"
        )
    assert isinstance(described, dict)
    return described
