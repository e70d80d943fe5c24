"""One file that holds a recognizer for onnxruntime: a zip archive of graphs and a description.

Unpacked, it is ordinary `.onnx` files for any other program. The archive keeps a checksum of each part.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr_seq2seq.errors import ModelFileError, brief
from asr_seq2seq.files import atomic_write, parse_json

FORMAT = "asr_seq2seq_onnx/1"
DESCRIPTION = "model.json"
GRAPHS = ("encoder.onnx", "decoder_start.onnx", "decoder_step.onnx")
_FIRST_BYTES = b"PK\x03\x04"
_DOMAINS = ("", "ai.onnx", "com.microsoft")
_OPERATORS = frozenset(
    [
        *("Add", "Cast", "Concat", "Conv", "Div", "DynamicQuantizeLSTM", "DynamicQuantizeLinear", "Expand"),
        *("GRU", "Gather", "GatherND", "Identity", "LSTM", "Less", "Log", "LogSoftmax", "MatMul"),
        *("MatMulInteger", "Max", "Min", "Mod", "Mul", "Neg", "Pad", "RNN", "Range", "ReduceMean"),
        *("ReduceSum", "Reshape", "Shape", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh"),
        *("Transpose", "Unsqueeze"),
    ]
)


def missing_extra() -> ModelFileError:
    """What to install for the ONNX form."""
    return ModelFileError("the ONNX form needs onnx and onnxruntime: install asr_seq2seq again")


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
    """The description and the graphs in a file's bytes; ModelFileError where not ours or damaged.

    Members are stored, not compressed, as `write_archive` does: none can be larger than the file.
    """
    foreign = f"{path}: is not a model file of this program; give a file that `export` wrote"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if DESCRIPTION not in archive.namelist():
                raise ModelFileError(foreign)
            members = [archive.getinfo(name) for name in (DESCRIPTION, *GRAPHS)]
            if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in members):
                raise ModelFileError(f"{path}: is compressed or encrypted; give the file that `export` wrote")
            description = parse_json(archive.read(DESCRIPTION))
            made_with = description["format"]
            if made_with != FORMAT:
                raise ModelFileError(
                    f"{path}: has the format {brief(str(made_with))}, this program reads {FORMAT}; "
                    "install the version that made it"
                )
            return description, [archive.read(name) for name in GRAPHS]
    except (KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError):
        raise ModelFileError(f"{path}: is damaged or cut short; copy or export it again") from None
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise ModelFileError(
            f"{path}: its description cannot be read ({brief(str(error))}); export it again"
        ) from None


def check_graph(path: Path, graph: bytes) -> None:
    """ModelFileError unless a graph holds all of its weights, and only operators that `export` writes.

    Other operators, those of other domains, functions and graphs within graphs may read files or never
    end, and external data is a file of another name.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto, TensorProto

    model = ModelProto()
    try:
        model.ParseFromString(graph)
    except DecodeError:
        raise ModelFileError(f"{path}: onnxruntime cannot load its graphs; export it again") from None
    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        if node.op_type not in _OPERATORS or node.domain not in _DOMAINS:
            operator = brief(f"{node.domain}.{node.op_type}".lstrip("."))
            raise ModelFileError(
                f"{path}: has the operator {operator}, which `export` does not write; refused"
            )
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
    inner = any(
        attribute.HasField("g") or attribute.graphs or attribute.HasField("sparse_tensor")
        for node in model.graph.node
        for attribute in node.attribute
    )
    if inner or model.functions or model.graph.sparse_initializer:
        raise ModelFileError(f"{path}: has functions or inner graphs, which `export` does not write; refused")
    if any(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in tensors):
        raise ModelFileError(f"{path}: refers to data in other files, which is not read; export it again")
