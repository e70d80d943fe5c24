import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from asr_seq2seq.config import Cell
from asr_seq2seq.model.rnn import Stepper, recurrent, run, run_side_by_side


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


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    usual = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(usual)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_side_by_side_changes_nothing(cell: Cell, threads: int) -> None:
    torch.manual_seed(0)
    stacks = (recurrent(cell, 5, 4), recurrent(cell, 6, 3))
    sequences = (
        torch.randn(7, 2, 5),
        torch.randn(7, 2, 6, requires_grad=True),
    )  # as the first layer, and others

    def loss(outputs: list[Tensor]) -> Tensor:
        return (outputs[0].square().sum() + outputs[1].sin().sum()) * 2

    sources = [sequences[1], *stacks[0].parameters(), *stacks[1].parameters()]
    alone = [run(stack, sequence, None)[0] for stack, sequence in zip(stacks, sequences, strict=True)]
    together = run_side_by_side(stacks, sequences)
    torch.testing.assert_close(together, alone)
    expected = torch.autograd.grad(loss(alone), sources)
    for _ in range(2):
        found = torch.autograd.grad(loss(together), sources, retain_graph=True)
        torch.testing.assert_close(found, expected)
    with torch.inference_mode():
        torch.testing.assert_close(run_side_by_side(stacks, sequences), alone)
    assert torch.get_num_threads() == threads


def test_side_by_side_in_a_forked_process() -> None:
    stacks = (nn.RNN(1, 1), nn.RNN(1, 1))
    sequences = (torch.ones(2, 1, 1), torch.ones(2, 1, 1))
    run_side_by_side(stacks, sequences)
    if not (child := os.fork()):
        run_side_by_side(stacks, sequences)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_bfloat16_on_a_processor_is_computed_in_and_changes_little(cell: Cell, threads: int) -> None:
    torch.manual_seed(0)
    stacks = (recurrent(cell, 32, 16), recurrent(cell, 32, 16))
    sequences = (torch.randn(7, 4, 32), torch.randn(7, 4, 32))
    exact, last = run(stacks[0], sequences[0], torch.ones(2 if cell == "lstm" else 1, 1, 4, 16))
    with torch.autocast("cpu", torch.bfloat16):
        rough, last_of_rough = run(stacks[0], sequences[0], torch.ones_like(last))
        alone = [run(stack, sequence, None)[0] for stack, sequence in zip(stacks, sequences, strict=True)]
        together = run_side_by_side(stacks, sequences)
        with torch.inference_mode():
            torch.testing.assert_close(run_side_by_side(stacks, sequences), alone)
    assert rough.dtype == together[0].dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, atol=0.02, rtol=0.02)
    torch.testing.assert_close(last_of_rough.float(), last, atol=0.02, rtol=0.02)
    torch.testing.assert_close(together, alone)
    weights = list(stacks[0].parameters())
    found = torch.autograd.grad(together[0].float().square().sum(), weights)
    expected = torch.autograd.grad(run(stacks[0], sequences[0], None)[0].square().sum(), weights)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.02 * theirs.norm()
