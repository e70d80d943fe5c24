"""A character language model in onnxruntime: `LanguageModel` over one graph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from asr_seq2seq.config import LanguageModelSettings
from asr_seq2seq.model_file.storage import ModelArrays
from asr_seq2seq.runtime.graph_cache import cached_graph
from asr_seq2seq.runtime.protocol import Floats, Integers
from asr_seq2seq.runtime.session import RuntimeOptions, Session
from asr_seq2seq.runtime.weights import language_model_weights


@dataclass(frozen=True)
class OnnxTextState:
    """Each layer's h and c of the rows before, by name, and which rows are continued, (R,)."""

    carried: dict[str, Floats]
    rows: Integers

    def select(self, rows: Integers) -> OnnxTextState:
        """The rows with these numbers, (R',)."""
        return replace(self, rows=self.rows[rows])


class OnnxLanguageModel:
    """p(y_t | y_<t) by one session of onnxruntime."""

    def __init__(
        self, model: ModelArrays[LanguageModelSettings], options: RuntimeOptions | None = None
    ) -> None:
        options = options or RuntimeOptions()
        config = model.config
        weights = language_model_weights(model.arrays, config, options.quantizer)

        def build() -> bytes:
            from asr_seq2seq.runtime.onnx_graph import language_model_graph

            return language_model_graph(config, weights)

        graph = cached_graph("language_model", config.model_dump_json(), weights, build)
        self._session = Session(graph, weights, options)
        self._units = config.model.units

    def start(self, batch: int) -> OnnxTextState:
        """The state of `batch` empty texts, before the start symbol."""
        zeros = np.zeros((batch, self._units), np.float32)
        names = (name for name in self._session.inputs if name.endswith((".h", ".c")))
        return OnnxTextState(dict.fromkeys(names, zeros), np.arange(batch))

    def step(self, state: OnnxTextState, tokens: Integers) -> tuple[Floats, OnnxTextState]:
        """The last tokens (R,) -> log-probabilities (R, V) of the next ones, and the state after them."""
        after = self._session({"tokens": tokens[:, None], "rows": state.rows[:, None], **state.carried})
        log_p = after.pop("log_p").reshape(len(tokens), -1)
        carried = {name: after[f"{name}.next"].reshape(len(tokens), -1) for name in state.carried}
        return log_p, OnnxTextState(carried, np.arange(len(tokens)))
