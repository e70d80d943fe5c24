"""One step of training: gradients, their norm limited, the optimizer, the EMA of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asr_seq2seq.errors import AsrError, brief
from asr_seq2seq.messages import message
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.training.batching import Batch, seed_from
from asr_seq2seq.training.distributed import DistributedContext
from asr_seq2seq.training.optim import Schedule, autocast, build_optimizer
from asr_seq2seq.training_config import Config

_MOST_SKIPPED = 20  # batches in a row with a loss that is not a number
# What processes tell each other of a step: sums over characters, and whether one was asked to stop.
_SHARES = ("loss", "decoder", "ctc", "characters", "seconds", "batches", "stop")


class Learner:
    """The network with what changes its weights; the same in every process of a training."""

    def __init__(
        self, config: Config, model: Seq2Seq, device: torch.device, context: DistributedContext
    ) -> None:
        self.config, self.settings = config, config.training
        self.model, self.device, self.context = model, device, context
        self.optimizer = build_optimizer(self.settings, model.parameters())
        self.schedule = Schedule(self.settings, self.optimizer)
        self.average: AveragedModel | None = None
        if self.settings.average_decay:
            decay = get_ema_multi_avg_fn(self.settings.average_decay)  # type: ignore[no-untyped-call]
            average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
            self.average = average.to(device)  # of a copy, cuDNN wants the weights laid together anew
        self._skipped = 0
        self._split = False  # whether it was said that a batch does not fit into memory

    @property
    def parts(self) -> dict[str, Any]:
        """What a training state holds beside the position, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        return parts if self.average is None else parts | {"average": self.average}

    @property
    def network(self) -> Seq2Seq:
        """The weights to decode with: their exponential moving average (EMA) where there is one."""
        return self.model if self.average is None else cast(Seq2Seq, self.average.module)

    def gradient(self, batch: Batch, progress: float) -> tuple[Tensor, int]:
        """Add the gradient of a batch's loss, summed over characters; [loss, decoder, ctc], characters.

        `progress` is the part of the run that is done, 0 to 1.
        """
        moved = batch.to(self.device)
        characters = int(batch.token_lengths.sum()) + len(batch.ids)
        with autocast(self.settings, self.device):
            loss = self.model.loss(
                moved.inputs,
                moved.lengths,
                moved.tokens,
                moved.token_lengths,
                self.settings.label_smoothing,
                self.settings.scheduled_sampling * progress,
                self.settings.consistency * progress,
            )
        (loss.total * characters).backward()  # type: ignore[no-untyped-call]
        return torch.stack((loss.total, loss.decoder, loss.ctc)).detach() * characters, characters

    def check_memory(self, longest: Batch) -> None:
        """AsrError if an utterance does not fit into memory, which should show before the first step."""
        self.model.train()
        self._sums([(longest, 0)], 1.0)

    def gradients(
        self, batches: Sequence[Batch], epoch: int, first: int, progress: float, stop: bool
    ) -> dict[str, float]:
        """The gradients of this process's batches of one step; the sums over all processes (`_SHARES`).

        `first` is the number in the epoch of the step's first batch.
        """
        self._freeze()
        shares = torch.zeros(len(_SHARES), device=self.device)
        places = [first + number * self.context.size + self.context.rank for number in range(len(batches))]
        seeds = [seed_from(self.config.seed, epoch, place) for place in places]
        shares[:4] = self._sums(list(zip(batches, seeds, strict=True)), progress)
        shares[4:] = torch.tensor([sum(batch.seconds for batch in batches), len(batches), stop])
        return dict(zip(_SHARES, self.context.sum(shares).tolist(), strict=True))

    def _freeze(self) -> None:
        """Keep the encoder as it is in the first steps of a run that asks for that."""
        learns = self.schedule.steps >= self.settings.freeze_encoder_steps
        for parameter in self.model.encoder.parameters():
            parameter.requires_grad_(learns)

    def _sums(self, parts: list[tuple[Batch, int]], progress: float) -> Tensor:
        """The gradient of batches, each with its seed; the sums of [loss, decoder, ctc, characters] (4,).

        A batch that does not fit into memory is computed as two halves, which changes nothing but the
        rounding and what is drawn. What a failed pass left is thrown away: all is computed anew.
        """
        while True:
            failed = 0
            sums = torch.zeros(4, device=self.device)
            self.optimizer.zero_grad(set_to_none=True)
            try:
                for number, (batch, seed) in enumerate(parts):
                    failed = number
                    if batch.ids:
                        torch.manual_seed(seed)
                        losses, characters = self.gradient(batch, progress)
                        sums[:3] += losses
                        sums[3] += characters
                return sums
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if not _out_of_memory(error):
                    raise
            parts[failed : failed + 1] = self._halves(*parts[failed])

    def _halves(self, batch: Batch, seed: int) -> list[tuple[Batch, int]]:
        """A batch that does not fit into memory as two; AsrError where it is one utterance."""
        if len(batch.ids) < 2:
            raise AsrError(
                f"utterance {brief(batch.ids[0])} of {batch.seconds:.1f} s does not fit into the memory of "
                f"{self.device}; lower data.max_seconds"
            )
        if not self._split:
            message(
                f"a batch of {len(batch.ids)} utterances does not fit into the memory of {self.device}: it "
                "and others like it are split in two; lower data.batch_seconds to spare the time"
            )
        self._split = True
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        middle = (len(batch.ids) + 1) // 2
        return [
            (batch.part(0, middle), seed),
            (batch.part(middle, len(batch.ids)), seed_from(seed, middle)),
        ]

    def step(
        self, share: dict[str, float], batches: Sequence[Batch], progress: float, place: object
    ) -> float | None:
        """Change the weights by the gradients of all processes; the gradient's norm before it is clipped.

        None where the loss was not finite: nothing is changed then. AsrError after many such steps in a row.
        """
        self.schedule.before_step(progress)
        self.context.sum_gradients(self.model.parameters(), share["characters"])
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip))
        if math.isfinite(norm) and math.isfinite(share["loss"]):
            self._skipped = 0
            self.optimizer.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
            return norm
        self._skipped += 1
        names = ", ".join(name for batch in batches for name in batch.ids)
        message(f"a batch without a finite loss is left out: {names}")
        if self._skipped >= _MOST_SKIPPED:
            raise AsrError(
                f"{place}: {self._skipped} batches in a row had no finite loss; lower "
                "training.learning_rate or training.gradient_clip, or mend the data"
            )
        return None


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch found too little memory; on a processor it has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(error)
