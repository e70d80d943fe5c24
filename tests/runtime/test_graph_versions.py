"""Graphs in a user's cache are those that this version builds."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from asr_seq2seq.runtime import graph_cache
from asr_seq2seq.runtime.onnx_graph import decoder_graph, encoder_graph
from asr_seq2seq.runtime.session import RuntimeOptions
from asr_seq2seq.runtime.weights import decoder_weights, encoder_weights

Make = Callable[..., Any]
VERSION = 5
DIGESTS = {
    "none": "feb0a24134f65c70",
    "dot": "def73f5ceb516cba",
    "location": "1f68b5bb783bb213",
}


def told(graph: Any) -> Iterator[str]:
    """All that a graph computes, in words that do not depend on the version of onnx."""
    for constant in graph.initializer:
        held = [] if constant.external_data else numpy_helper.to_array(constant).tolist()
        yield f"{constant.name} {list(constant.dims)} {held}"
    for node in graph.node:
        yield f"{node.op_type} {list(node.input)} {list(node.output)}"
        for attribute in sorted(node.attribute, key=lambda one: one.name):
            value = onnx.helper.get_attribute_value(attribute)
            yield from told(value) if hasattr(value, "node") else [f"{attribute.name} {value}"]


@pytest.mark.parametrize("attention", DIGESTS)
def test_another_graph_needs_another_version(make_model: Make, make_config: Make, attention: str) -> None:
    """Whoever changes a graph raises `_VERSION`, then writes it and the new digests here.

    Without that a cached graph of before meets weights and states that are no longer its own.
    """
    changes = {"model.decoder.attention": attention}
    arrays = {name: part.numpy() for name, part in make_model(changes, 9).state_dict().items()}
    config, quantizer = make_config(changes), RuntimeOptions(threads=1).quantizer
    graphs = [
        encoder_graph(config, encoder_weights(arrays, config, quantizer)),
        decoder_graph(config, decoder_weights(arrays, config, quantizer)),
    ]
    text = "\n".join(line for one in graphs for line in told(onnx.ModelProto.FromString(one).graph))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (graph_cache._VERSION, digest) == (VERSION, DIGESTS[attention])
