"""One `.safetensors` file that holds a whole recogniser: weights, settings, alphabet, provenance.

The tensors are the network's weights; everything else is one JSON text in the file's metadata.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from asr_seq2seq import __version__
from asr_seq2seq.config import Config, validate
from asr_seq2seq.errors import AsrError, ModelFileError
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.text import Alphabet, Normalizer

FORMAT = "asr_seq2seq/1"
BUNDLED = "digits.safetensors"


@dataclass(frozen=True)
class ModelFile:
    """A recogniser in memory: the network in evaluation mode and all that is needed to use it."""

    model: Seq2Seq
    config: Config
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)


def save_model(path: Path, recogniser: ModelFile, *, half: bool = False) -> None:
    """Write `path`, all or nothing; `half` stores the weights as float16, half the size."""
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "config": recogniser.config.model_dump(mode="json"),
        "alphabet": recogniser.alphabet.to_json(),
        "normalizer": recogniser.normalizer.name,
        "provenance": recogniser.provenance,
    }
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, tensor in recogniser.model.state_dict().items()
    }
    content = save_tensors(tensors, {"asr_seq2seq": json.dumps(metadata, ensure_ascii=False)})
    with atomic_write(path, "wb") as file:
        file.write(content)


def load_model(path: str | Path | None = None, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model file, or the bundled model of spoken English digits where `path` is None.

    Raises ModelFileError in one sentence for a file that is missing, cut short, changed, from
    another program, or from a newer version.
    """
    if path is None:
        with as_file(files("asr_seq2seq") / "pretrained" / BUNDLED) as bundled:
            return load_model(bundled, device)
    path = Path(path)
    content = _read(path)
    metadata = _metadata(path, content)
    try:
        tensors = load_tensors(content)
    except SafetensorError as error:
        raise ModelFileError(f"{path}: is damaged or cut short ({error}); copy or train it again") from None
    try:
        config = validate(metadata["config"], str(path))
        alphabet = Alphabet.from_json(metadata["alphabet"])
        normalizer = Normalizer.named(metadata["normalizer"])
        model = Seq2Seq(config, len(alphabet))
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except KeyError as error:
        raise ModelFileError(f"{path}: its description lacks {error}; copy or train it again") from None
    except AsrError as error:
        raise ModelFileError(
            f"{path}: its description is not valid ({error}); copy or train it again"
        ) from None
    except RuntimeError:
        raise ModelFileError(
            f"{path}: its weights do not fit its own description; copy or train it again"
        ) from None
    model.to(device).eval()
    return ModelFile(model, config, alphabet, normalizer, metadata.get("provenance") or {})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(
            f"{path}: no such model file; training writes runs/NAME/model.safetensors"
        ) from None
    except IsADirectoryError:
        raise ModelFileError(
            f"{path}: is a folder; give the model file in it, e.g. model.safetensors"
        ) from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _metadata(path: Path, content: bytes) -> dict[str, Any]:
    """Our JSON in the header: 8 bytes of length, then a JSON table with `__metadata__`."""
    foreign = f"{path}: is not a model file of this program; give a .safetensors file that `train` wrote"
    if len(content) < 8:
        raise ModelFileError(foreign)
    (size,) = struct.unpack("<Q", content[:8])
    if len(content) < 8 + size and content[8:9] == b"{":
        raise ModelFileError(f"{path}: is cut short; copy it again")
    try:
        text = json.loads(content[8 : 8 + size])["__metadata__"]["asr_seq2seq"]
        metadata = json.loads(text)
        made_with = metadata["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(foreign) from None
    if made_with != FORMAT:
        raise ModelFileError(
            f"{path}: has the format {made_with}, this program reads {FORMAT}; install the version that made it"
        )
    assert isinstance(metadata, dict)
    return metadata
