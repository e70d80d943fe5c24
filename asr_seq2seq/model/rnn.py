"""The three recurrent cells behind one name, as whole layers and as single steps."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

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
    is all zeros. Under autocast, layers on a processor compute in its bfloat16 and all others stay in
    float32: cuDNN's would run in float16, whose gradients vanish without loss scaling.
    """
    lower = _lower_precision(sequence)
    kind = torch.get_autocast_dtype("cpu") if lower else torch.float32
    with torch.autocast(sequence.device.type, enabled=lower):
        sequence = sequence.to(kind)
        parts = None if state is None else [part.to(kind).contiguous() for part in state]
        if isinstance(stack, nn.LSTM):
            outputs, (h, c) = stack(sequence, parts and tuple(parts))
            return outputs, torch.stack((h, c))
        outputs, h = stack(sequence, parts and parts[0])
        return outputs, h[None]


def _lower_precision(sequence: Tensor) -> bool:
    """Whether a layer over the sequence computes in the type of autocast."""
    return sequence.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def run_side_by_side(stacks: tuple[nn.RNNBase, ...], sequences: tuple[Tensor, ...]) -> list[Tensor]:
    """Run each stack over its own (T, B, inputs) from zeros; returns their outputs (T, B, units).

    In training on a processor they share the threads out among them, forward and backward: the products of
    single steps are too small to be worth sharing (`benchmarks/directions.py`).
    """
    threads = torch.get_num_threads() // len(stacks)
    if sequences[0].device.type != "cpu" or not threads or not torch.is_grad_enabled():
        return [run(stack, sequence, None)[0] for stack, sequence in zip(stacks, sequences, strict=True)]
    parameters = (parameter for stack in stacks for parameter in stack.parameters())
    return list(_SideBySide.apply(stacks, threads, *sequences, *parameters))


class _SideBySide(torch.autograd.Function):
    """Each stack's graph is recorded, and later gone back through, in a thread of its own."""

    @staticmethod
    def forward(
        ctx: Any, stacks: tuple[nn.RNNBase, ...], threads: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """The sequences, then all parameters of the stacks -> outputs (T, B, units)."""
        ctx.count, ctx.threads = len(stacks), threads
        lower = _lower_precision(tensors[0])

        def record(stack: nn.RNNBase, sequence: Tensor, needed: bool) -> tuple[list[Tensor], Tensor]:
            source = sequence.detach().requires_grad_(needed)
            with torch.enable_grad(), torch.autocast("cpu", enabled=lower):
                return [*([source] if needed else []), *stack.parameters()], run(stack, source, None)[0]

        needed = ctx.needs_input_grad[2 : 2 + len(stacks)]
        ctx.recorded = list(_threads(len(stacks), threads).map(record, stacks, tensors, needed))
        return tuple(output.detach() for _, output in ctx.recorded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the sequences that need one, and of the parameters."""

        def go_back(recorded: tuple[list[Tensor], Tensor], gradient: Tensor) -> tuple[Tensor, ...]:
            sources, output = recorded
            return torch.autograd.grad(output, sources, gradient, retain_graph=True)  # freed with the record

        found = list(_threads(ctx.count, ctx.threads).map(go_back, ctx.recorded, gradients))
        needed = ctx.needs_input_grad[2 : 2 + ctx.count]
        of_sequences = [row[0] if need else None for row, need in zip(found, needed, strict=True)]
        of_parameters = [part for row, need in zip(found, needed, strict=True) for part in row[need:]]
        return None, None, *of_sequences, *of_parameters


@cache
def _threads(count: int, each: int) -> ThreadPoolExecutor:
    """So many threads, each of which computes with `each` of the processor's."""
    usual = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(each,))
    all_here = Barrier(count + 1)
    for _ in range(count):
        pool.submit(all_here.wait)
    all_here.wait()
    torch.set_num_threads(usual)  # of threads to come, for which the pool's have set it
    return pool


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads stay behind in the parent


def initial_state(stack: nn.RNNBase, context: Tensor) -> Tensor:
    """The context (B, D) as h, and as c where there is one, of every layer: (S, layers, B, D)."""
    parts = 2 if isinstance(stack, nn.LSTM) else 1
    return context.expand(parts, stack.num_layers, *context.shape)


class Stepper:
    """A stack one step at a time: what `run` gives for a sequence of one, in a small part of its time.

    The caller multiplies the first layer's inputs by its weights, so that what is known beforehand, such
    as the context's part, is multiplied but once: its `gates` are W x + b, (.., G), G being 4, 3 or 1
    times the units. Weights are held transposed, as a product of few rows reads them fastest.
    """

    def __init__(self, stack: nn.RNNBase) -> None:
        self.stack = stack
        self.of_inputs: list[Tensor] = []
        self.of_hidden: list[Tensor] = []
        self.biases: list[Tensor] = []
        self.hidden_biases: list[Tensor] = []
        for of_inputs, of_hidden, bias, hidden_bias in stack.all_weights:
            self.of_inputs.append(
                of_inputs.t().contiguous() if self.of_inputs else of_inputs.t()
            )  # (inputs, G)
            self.of_hidden.append(of_hidden.t().contiguous())  # (D, G)
            # A GRU's reset gate comes between its two biases.
            self.biases.append(bias if isinstance(stack, nn.GRU) else bias + hidden_bias)
            self.hidden_biases.append(hidden_bias)

    def of_columns(self, first: int, last: int | None = None) -> Tensor:
        """The weights (I, G) of those columns of the first layer's inputs."""
        return self.of_inputs[0][first:last]

    def __call__(self, gates: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (N, G) of the first layer and the state (S, layers, N, D) -> output (N, D), new state."""
        after = [self._cell(0, gates, state[:, 0])]
        for layer in range(1, self.stack.num_layers):
            hidden = functional.dropout(after[-1][0], self.stack.dropout, self.stack.training)
            gates = torch.addmm(self.biases[layer], hidden, self.of_inputs[layer])
            after.append(self._cell(layer, gates, state[:, layer]))
        parts = [
            part for kind in zip(*after, strict=True) for part in kind
        ]  # h of all layers, c of all layers
        return after[-1][0], torch.stack(parts).view_as(state)

    def _cell(self, layer: int, gates: Tensor, parts: Tensor) -> tuple[Tensor, ...]:
        """The cells of torch.nn, whose gates come in this order: (N, G), (S, N, D) -> S times (N, D)."""
        h, weights = parts[0], self.of_hidden[layer]
        if isinstance(self.stack, nn.GRU):
            reset, update, new = gates.chunk(3, 1)
            of_reset, of_update, of_new = torch.addmm(self.hidden_biases[layer], h, weights).chunk(3, 1)
            new = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
            return (torch.lerp(new, h, torch.sigmoid(update + of_update)),)
        gates = torch.addmm(gates, h, weights)
        if isinstance(self.stack, nn.LSTM):
            let_in, keep, new, let_out = gates.chunk(4, 1)
            c = torch.sigmoid(keep) * parts[1] + torch.sigmoid(let_in) * torch.tanh(new)
            return torch.sigmoid(let_out) * torch.tanh(c), c
        return (torch.tanh(gates),)
