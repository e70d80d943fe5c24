"""Whether the two directions of an encoder layer gain by threads of their own (`model/rnn.py`).

One gradient of the encoder of `configs/english.yaml` over random features: the directions side by side, each
on half of the threads, against one after the other, each on all.

Example: python benchmarks/directions.py --threads 2
"""

from __future__ import annotations

from functools import partial
from typing import Annotated
from unittest.mock import patch

import torch
import typer
from benchmarking import Work, measure, table, tell_busy
from machine import tell_machine
from torch import Tensor, nn

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.model import encoder
from asr_seq2seq.model.rnn import run
from asr_seq2seq.recipes import load_config

FRAMES = 500
BATCHES = (8, 16, 32)


def main(
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 7,
) -> None:
    """Measure, and print a Markdown table in milliseconds."""
    tell_machine(threads, ("torch",))
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    network = encoder.Encoder(load_config("english").model.encoder, 80)
    for precision in (torch.float32, torch.bfloat16):
        for batch in BATCHES:
            step = partial(gradient, network, torch.randn(batch, FRAMES, 80), precision)
            work = Work(f"batch {batch}", {"side by side": step}, {"in turn": partial(in_turn, step)})
            measured = measure(work, rounds, torch.device("cpu"))
            tell_busy(work.name, measured.quiet)
            print("\n".join(table(str(precision), measured)), flush=True)


def gradient(network: encoder.Encoder, features: Tensor, precision: torch.dtype) -> None:
    """Forward and backward over features (B, T, F)."""
    lengths = torch.full((len(features),), features.shape[1])
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        network(features, lengths)[0].float().square().mean().backward()


def in_turn(step: partial[None]) -> None:
    """The same with one direction after the other."""
    with patch.object(encoder, "run_side_by_side", one_after_the_other):
        step()


def one_after_the_other(stacks: tuple[nn.RNNBase, ...], sequences: tuple[Tensor, ...]) -> list[Tensor]:
    """What `run_side_by_side` computes, without threads of its own."""
    return [run(stack, sequence, None)[0] for stack, sequence in zip(stacks, sequences, strict=True)]


if __name__ == "__main__":
    run_function(main)
