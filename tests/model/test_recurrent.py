import pytest
import torch
from torch import nn

from asr_seq2seq.config import Cell
from asr_seq2seq.model.recurrent import Stepper, recurrent, run


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 3])
def test_single_steps_are_what_the_layers_of_torch_give(cell: Cell, layers: int) -> None:
    torch.manual_seed(0)
    stack = recurrent(cell, 5, 4, layers)
    state = torch.randn(2 if cell == "lstm" else 1, layers, 3, 4)
    sequence = torch.randn(6, 3, 5)
    outputs, last = run(stack, sequence, state)
    stepper = Stepper(stack)
    for inputs, expected in zip(sequence, outputs, strict=True):
        # The inputs come in two pieces, each multiplied by its own columns.
        gates = inputs[:, :2] @ stepper.of_columns(0, 2) + inputs[:, 2:] @ stepper.of_columns(2)
        output, state = stepper(gates + stepper.biases[0], state)
        torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state, last)


def test_a_stepper_learns_as_its_stack_does() -> None:
    torch.manual_seed(0)
    stack = nn.LSTM(5, 4, num_layers=2)
    state, inputs = torch.randn(2, 2, 3, 4), torch.randn(1, 3, 5)
    expected = torch.autograd.grad(run(stack, inputs, state)[0].square().sum(), list(stack.parameters()))
    stepper = Stepper(stack)
    output, _ = stepper(inputs[0] @ stepper.of_columns(0) + stepper.biases[0], state)
    found = torch.autograd.grad(output.square().sum(), list(stack.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
