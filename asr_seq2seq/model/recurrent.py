"""The three recurrent cells behind one name, as whole layers and as single steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from asr_seq2seq.config import Cell

_LAYERS: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def recurrent(cell: Cell, inputs: int, units: int, layers: int = 1, dropout: float = 0.0) -> nn.RNNBase:
    """A stack of one-directional recurrent layers over (T, B, inputs); the forget gates start open.

    The forget-gate bias of 1 is from Jozefowicz et al. 2015, section 2.2.
    """
    stack = _LAYERS[cell](inputs, units, layers, dropout=dropout if layers > 1 else 0.0)
    if cell == "lstm":
        for name, parameter in stack.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.constant_(parameter[units : 2 * units], 1.0)
    return stack


def run(stack: nn.RNNBase, sequence: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Run a stack over (T, B, inputs) from `state`; returns outputs (T, B, units) and the new state.

    The state is one tensor (S, layers, B, units): S is 2 for an LSTM (h and c), 1 otherwise. None
    is all zeros. Recurrent layers stay in float32: under autocast of any type, cuDNN's would run in
    float16, whose gradients vanish without loss scaling.
    """
    with torch.autocast(sequence.device.type, enabled=False):
        sequence = sequence.float()
        parts = None if state is None else [part.float().contiguous() for part in state]
        if isinstance(stack, nn.LSTM):
            outputs, (h, c) = stack(sequence, parts and tuple(parts))
            return outputs, torch.stack((h, c))
        outputs, h = stack(sequence, parts and parts[0])
        return outputs, h[None]


def initial_state(stack: nn.RNNBase, context: Tensor) -> Tensor:
    """The context (B, D) as h, and as c where there is one, of every layer: (S, layers, B, D)."""
    parts = 2 if isinstance(stack, nn.LSTM) else 1
    return context.expand(parts, stack.num_layers, *context.shape)
