"""Sessions of onnxruntime: their options, and arrays in and out by name."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.runtime.weights import Quantizer, Weights

BACKENDS = ("onnx", "torch")
COMPUTE_TYPES = ("auto", "float32", "int8")
_DEVICES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_WITHOUT_SATURATION, _WITH_SATURATION = 127, 63


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is computed.

    `compute_type` is `float32`, `int8` (matrices in 8 bits, and what they are multiplied with rounded to
    8 bits as it comes), or `auto`: int8 where the processor's 8-bit products are exact, else float32.
    `threads` are those of each session, as many as this process may use where None. `device` is `cpu`,
    `cuda` where onnxruntime-gpu is installed, or `auto`: `cuda` where it can be had. `backend` is `onnx`, or
    `torch`, which takes the devices of PyTorch and no compute type.
    """

    compute_type: str = "float32"
    threads: int | None = None
    device: str = "auto"
    backend: str = "onnx"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend {self.backend}: is unknown; use {' or '.join(BACKENDS)}")
        if self.compute_type not in COMPUTE_TYPES:
            raise ConfigError(f"compute type {self.compute_type}: is unknown; use {', '.join(COMPUTE_TYPES)}")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads must be 1 or more (given: {self.threads})")
        if self.backend == "torch":
            if self.compute_type == "int8":
                raise ConfigError("compute type int8 needs the backend onnx: leave one of the two out")
            return
        has_cuda = _DEVICES["cuda"] in onnxruntime.get_available_providers()
        if self.device == "auto":
            object.__setattr__(self, "device", "cuda" if has_cuda else "cpu")
        if self.device not in _DEVICES:
            raise ConfigError(f"device {self.device}: is unknown; use auto, cpu or cuda")
        if self.device == "cuda" and not has_cuda:
            raise ConfigError("device cuda: onnxruntime has no CUDA here; pip install 'asr_seq2seq[gpu]'")

    @property
    def quantizer(self) -> Quantizer:
        """How this processor is to be given matrices."""
        if self.compute_type == "float32" or self.device != "cpu":
            return Quantizer()
        if products_saturate():
            return Quantizer(_WITH_SATURATION if self.compute_type == "int8" else None)
        return Quantizer(_WITHOUT_SATURATION)


def usable_threads() -> int:
    """OMP_NUM_THREADS where it is a number, else the processors that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Session:
    """One graph with its weights: arrays in by name, arrays out by name."""

    def __init__(self, graph: bytes, weights: Weights, options: RuntimeOptions) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads or usable_threads()
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        # The graphs are built as they are to run: looking for better ones takes as long as all else here.
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Threads that share small products wait by spinning, but not after the run: they would take the
        # processor from the next session, and from NumPy.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "1")
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        # onnxruntime may read them where they lie, so they stay as long as the session.
        self._weights = {name: np.ascontiguousarray(array) for name, array in weights.items()}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._weights.values()]
        settings.add_external_initializers(list(weights), values)
        providers = [_DEVICES[options.device], *([] if options.device == "cpu" else [_DEVICES["cpu"]])]
        self._session = onnxruntime.InferenceSession(graph, settings, providers=providers)
        self._graph, self._options, self._process = graph, options, os.getpid()
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, given: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """All results for all inputs."""
        if os.getpid() != self._process:
            # Threads do not survive a fork, and the end of a session would wait for its own for ever: in a
            # forked child that of the parent is never ended, and a new one takes its place.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self.__init__(self._graph, self._weights, self._options)  # type: ignore[misc]
        return dict(zip(self.outputs, self._session.run(self.outputs, given), strict=True))


@cache
def products_saturate() -> bool:
    """Whether this processor's products of 8-bit numbers lose what 16 bits cannot hold.

    Without instructions for it (VNNI), two products are added in 16 bits. Such a pair is tried.
    """
    from asr_seq2seq.runtime.graph_cache import cached_graph

    rows, inputs, outputs = 4, 64, 32
    matrix: Weights = {"matrix": np.full((inputs, outputs), 127, np.int8)}
    graph = cached_graph("saturation", (rows, inputs, outputs), matrix, lambda: _saturation_graph(matrix))
    product = Session(graph, matrix, RuntimeOptions(threads=1))(
        {"numbers": np.full((rows, inputs), 255, np.uint8)}
    )
    return bool((product["product"] != 255 * 127 * inputs).any())


def _saturation_graph(matrix: Weights) -> bytes:
    from asr_seq2seq.runtime.graph_builder import GraphBuilder

    g = GraphBuilder(matrix)
    numbers = g.input("numbers", np.uint8, "rows", matrix["matrix"].shape[0])
    product = g("MatMulInteger", numbers, g.weight("matrix"))
    g.output("product", product, np.int32, "rows", matrix["matrix"].shape[1])
    return g.serialize("saturation")
