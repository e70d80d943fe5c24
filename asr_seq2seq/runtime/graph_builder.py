"""Put an ONNX graph together, operator by operator; its weights stay outside and are given to the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asr_seq2seq.runtime.weights import Weights

OPSET = 17
_OWN_OPERATORS = "com.microsoft"  # onnxruntime's operators on 8-bit numbers


class GraphBuilder:
    """A graph that grows by one operator at a time; values are known by their names.

    `weights` gives the types and shapes of the arrays that the graph refers to by name.
    """

    def __init__(self, weights: Weights, prefix: str = "") -> None:
        self.weights = weights
        self.prefix = prefix  # of the names of values, which those of a graph within a graph must not repeat
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._results: dict[str, str] = {}  # values that are results -> their names as such

    def input(self, name: str, kind: type[np.generic], *shape: int | str) -> str:
        """A value that is given, with its shape: numbers, and names for what is free."""
        self.inputs.append(_value(name, kind, shape))
        return name

    def output(self, name: str, value: str, kind: type[np.generic], *shape: int | str) -> None:
        """Make a value a result of this name."""
        if value in self._results or any(value == given.name for given in self.inputs):
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        else:
            self._results[value] = name
        self.outputs.append(_value(name, kind, shape))

    def weight(self, name: str) -> str:
        """An array that is given to the session, by its name."""
        array = self.weights[name]
        tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.external_data.add(key="location", value="weights")
        self.constants[name] = tensor
        return name

    def constant(self, value: Any, kind: type[np.generic] = np.float32) -> str:
        """A number, or a few, in the graph itself."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.array(value, kind), name)
        return name

    def integers(self, *values: int) -> str:
        """Whole numbers, (n,)."""
        return self.constant(values, np.int64)

    def __call__(
        self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> Any:
        """Apply an operator; the name of its result, or their list where there are several."""
        names = [f"{self.prefix}{operator.lower()}_{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def cast(self, value: str, kind: type[np.generic]) -> str:
        """A value in another type."""
        return str(self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))))

    def unsqueeze(self, value: str, *axes: int) -> str:
        """A value with axes of size 1 put in."""
        return str(self("Unsqueeze", value, self.integers(*axes)))

    def squeeze(self, value: str, axis: int) -> str:
        """A value without this axis, which is of size 1."""
        return str(self("Squeeze", value, self.integers(axis)))

    def slice(self, value: str, first: str, last: str, axis: int) -> str:
        """From `first` to `last`, both (1,), along one axis."""
        return str(self("Slice", value, first, last, self.integers(axis)))

    def split(self, value: str, *sizes: int) -> list[str]:
        """Parts of these sizes along the last axis."""
        if len(sizes) == 1:
            return [value]
        parts: list[str] = self("Split", value, self.integers(*sizes), outputs=len(sizes), axis=-1)
        return parts

    def size(self, value: str, axis: int) -> str:
        """One dimension of a value, (1,)."""
        return str(self("Shape", value, start=axis, end=axis + 1))

    def reshape(self, value: str, *shape: int | str) -> str:
        """Numbers, or names of (1,); 0 keeps the dimension, -1 is what is left."""
        if all(isinstance(part, int) for part in shape):
            return str(self("Reshape", value, self.integers(*map(int, shape))))
        parts = [part if isinstance(part, str) else self.integers(part) for part in shape]
        return str(self("Reshape", value, self("Concat", *parts, axis=0)))

    def matmul(self, value: str, name: str) -> str:
        """The product with a matrix, which may be of 8-bit numbers, and its bias where there is one."""
        matrix = self.weight(f"{name}.weight")
        bias = self.weight(f"{name}.bias") if f"{name}.bias" in self.weights else ""
        if self.weights[matrix].dtype == np.int8:
            scale, zero = self.weight(f"{matrix}.scale"), self.weight(f"{matrix}.zero")
            operands = [value, matrix, scale, zero, *([bias] if bias else [])]
            return str(self("DynamicQuantizeMatMul", *operands, domain=_OWN_OPERATORS))
        product = self("MatMul", value, matrix)
        return str(self("Add", product, bias) if bias else product)

    def positions(self, size: str) -> str:
        """(1, T): 0, 1, ... below a size (1,)."""
        scalar = self("Squeeze", size)
        return self.unsqueeze(
            self("Range", self.constant(0, np.int64), scalar, self.constant(1, np.int64)), 0
        )

    def mask(self, lengths: str, size: str) -> str:
        """(B, T), 1 at the positions that exist and 0 behind."""
        return self.cast(self("Less", self.positions(size), self.unsqueeze(lengths, 1)), np.float32)

    def recurrent(self, sequence: str, name: str, cell: str, units: int, lengths: str) -> str:
        """A layer over (T, B, F), one or two directions -> (T, B, size), zero behind each end."""
        w, r, b = (self.weight(f"{name}.{part}") for part in "WRB")
        directions = self.weights[w].shape[0]
        attributes: dict[str, Any] = {"hidden_size": units}
        if directions == 2:
            attributes["direction"] = "bidirectional"
        if cell == "gru":
            attributes["linear_before_reset"] = 1
        operands, operator = [sequence, w, r, b, self.cast(lengths, np.int32)], cell.upper()
        if self.weights[w].dtype == np.int8:
            scales = [self.weight(f"{part}.{kind}") for part in (w, r) for kind in ("scale", "zero")]
            operands += ["", "", "", *scales]
            operator, attributes["domain"] = "DynamicQuantizeLSTM", _OWN_OPERATORS
        outputs = self(operator, *operands, **attributes)  # (T, directions, B, units)
        joined = self("Transpose", outputs, perm=[0, 2, 1, 3])
        return self.reshape(joined, 0, 0, directions * units)

    def for_each(self, build: Callable[[GraphBuilder, list[str]], str], *values: str) -> str:
        """Apply a graph to the parts of values along their first axis, one after another; results stacked.

        `build` is given the graph and the names of the parts, and gives the name of the result.
        """
        body = GraphBuilder(self.weights, prefix=f"each_{len(self.nodes)}_")
        body.constants = self.constants  # those of the outer graph are known within
        names = [f"{body.prefix}{number}" for number in range(len(values))]
        result = build(body, names)
        inputs, outputs = ([_value(name, np.float32, None) for name in part] for part in (names, [result]))
        graph = helper.make_graph(body.nodes, "each", inputs, outputs)
        return str(self("Scan", *values, body=graph, num_scan_inputs=len(values)))

    def serialize(self, name: str) -> bytes:
        """The model as the bytes of an .onnx file, without its weights."""
        for node in self.nodes:
            for values in (node.input, node.output):
                values[:] = [self._results.get(value, value) for value in values]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_OWN_OPERATORS, 1)]
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return bytes(model.SerializeToString())


def _value(name: str, kind: type[np.generic], shape: tuple[int | str, ...] | None) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
