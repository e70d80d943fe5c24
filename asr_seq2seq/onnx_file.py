"""One file that holds a recogniser for onnxruntime: a zip archive of graphs and a description.

Unpacked, it is ordinary `.onnx` files for any other program. The archive keeps a checksum of each part.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.files import atomic_write

FORMAT = "asr_seq2seq_onnx/1"
DESCRIPTION = "model.json"
GRAPHS = ("encoder.onnx", "decoder_start.onnx", "decoder_step.onnx")
_FIRST_BYTES = b"PK\x03\x04"


def missing_extra() -> ModelFileError:
    """What to install for the ONNX form."""
    return ModelFileError("the ONNX form needs more packages: pip install 'asr_seq2seq[onnx]'")


def is_onnx_form(path: Path) -> bool:
    """Whether a file begins like one that `export` wrote, whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(len(_FIRST_BYTES)) == _FIRST_BYTES
    except OSError:
        return False


def write_archive(path: Path, description: dict[str, Any], graphs: Sequence[bytes]) -> None:
    """Write a description and the graphs, in the order of `GRAPHS`, all or nothing."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        # Not compressed, and dated the first day of the format: the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(DESCRIPTION), json.dumps(description, ensure_ascii=False))
        for name, graph in zip(GRAPHS, graphs, strict=True):
            archive.writestr(zipfile.ZipInfo(name), graph)
    with atomic_write(path, "wb") as file:
        file.write(content.getvalue())


def read_archive(path: Path, content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The description and the graphs in a file's bytes; ModelFileError where not ours or damaged."""
    foreign = f"{path}: is not a model file of this program; give a file that `export` wrote"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if DESCRIPTION not in archive.namelist():
                raise ModelFileError(foreign)
            description = json.loads(archive.read(DESCRIPTION))
            made_with = description["format"]
            if made_with != FORMAT:
                raise ModelFileError(
                    f"{path}: has the format {made_with}, this program reads {FORMAT}; "
                    "install the version that made it"
                )
            return description, [archive.read(name) for name in GRAPHS]
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{path}: its description cannot be read ({error}); export it again") from None
    except (KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError):
        raise ModelFileError(f"{path}: is damaged or cut short; copy or export it again") from None
