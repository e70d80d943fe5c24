"""Whether the two directions of an encoder layer gain by threads of their own (`model/rnn.py`).

    OMP_NUM_THREADS=2 python benchmarks/directions.py

One gradient of the encoder of `configs/english.yaml` over random features, with the directions side by side,
each on half of the threads, and one after the other, each on all. Rounds alternate; medians are printed.
"""

from __future__ import annotations

import statistics
import time
from unittest.mock import patch

import torch
from torch import Tensor, nn

from asr_seq2seq.model import encoder
from asr_seq2seq.model.rnn import run
from asr_seq2seq.recipes import load_config

ROUNDS = 7


def one_after_the_other(stacks: tuple[nn.RNNBase, ...], sequences: tuple[Tensor, ...]) -> list[Tensor]:
    """What `run_side_by_side` computes, without threads of its own."""
    return [run(stack, sequence, None)[0] for stack, sequence in zip(stacks, sequences, strict=True)]


def main() -> None:
    """Measure and print."""
    torch.manual_seed(1)
    network = encoder.Encoder(load_config("english").model.encoder, 80)
    for precision in (torch.float32, torch.bfloat16):
        for batch, frames in ((8, 500), (16, 500), (32, 500)):
            features, lengths = torch.randn(batch, frames, 80), torch.full((batch,), frames)

            def step(
                features: Tensor = features, lengths: Tensor = lengths, kind: torch.dtype = precision
            ) -> float:
                started = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=kind is torch.bfloat16):
                    network(features, lengths)[0].float().square().mean().backward()
                return time.perf_counter() - started

            found: tuple[list[float], list[float]] = ([], [])
            for number in range(ROUNDS + 1):
                beside = step()
                with patch.object(encoder, "run_side_by_side", one_after_the_other):
                    after = step()
                if number:  # the first round makes the kernels
                    found[0].append(beside)
                    found[1].append(after)
            beside, after = map(statistics.median, found)
            print(
                f"{precision} batch {batch}, {torch.get_num_threads()} threads: {1000 * beside:.0f} ms "
                f"side by side, {1000 * after:.0f} ms one after the other: {after / beside:.2f} times as fast"
            )


if __name__ == "__main__":
    main()
