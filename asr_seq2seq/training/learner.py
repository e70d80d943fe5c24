"""One step of training: gradients, their norm limited, the optimizer, the EMA of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asr_seq2seq.errors import AsrError
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

    def check_memory(self, longest: Batch, place: object) -> None:
        """AsrError if the longest batch does not fit into memory, which should show before the first step."""
        try:
            self.model.train()
            if longest.ids:
                self.gradient(longest, 1.0)
        except torch.OutOfMemoryError:
            raise AsrError(
                f"{place}: the longest batch does not fit into the memory of {self.device}; lower "
                "data.batch_seconds or data.max_seconds"
            ) from None

    def gradients(
        self, batches: Sequence[Batch], epoch: int, first: int, progress: float, stop: bool
    ) -> dict[str, float]:
        """The gradients of this process's batches of one step; the sums over all processes (`_SHARES`).

        `first` is the number in the epoch of the step's first batch.
        """
        self.optimizer.zero_grad(set_to_none=True)
        shares = torch.zeros(len(_SHARES), device=self.device)
        for number, batch in enumerate(batches):
            if batch.ids:
                place = first + number * self.context.size + self.context.rank
                torch.manual_seed(seed_from(self.config.seed, epoch, place))
                losses, characters = self.gradient(batch, progress)
                shares[:3] += losses
                shares[3] += characters
        shares[4:] = torch.tensor([sum(batch.seconds for batch in batches), len(batches), stop])
        return dict(zip(_SHARES, self.context.sum(shares).tolist(), strict=True))

    def step(self, share: dict[str, float], batches: Sequence[Batch], progress: float, place: object) -> bool:
        """Change the weights by the gradients of all processes; False where the loss was not finite.

        AsrError after many such steps in a row.
        """
        self.schedule.before_step(progress)
        self.context.sum_gradients(self.model.parameters(), share["characters"])
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip))
        if math.isfinite(norm) and math.isfinite(share["loss"]):
            self._skipped = 0
            self.optimizer.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
            return True
        self._skipped += 1
        names = ", ".join(name for batch in batches for name in batch.ids)
        message(f"a batch without a finite loss is left out: {names}")
        if self._skipped >= _MOST_SKIPPED:
            raise AsrError(
                f"{place}: {self._skipped} batches in a row had no finite loss; lower "
                "training.learning_rate or training.gradient_clip, or mend the data"
            )
        return False
