"""Training, from top to bottom: read the corpora, build the network, minimize the loss, keep the best."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import TaskID

from asr_seq2seq.decoding.confidence import PlattScaling
from asr_seq2seq.epochs import checkpoints, rank
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.comparison import Comparison
from asr_seq2seq.files import lock, make_folder
from asr_seq2seq.messages import message
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.model_file.averaging import average_recognizers
from asr_seq2seq.progress import Progress, sound_progress
from asr_seq2seq.training import before_after
from asr_seq2seq.training.batching import Batch
from asr_seq2seq.training.data import TrainingData, check_sounds, load_data
from asr_seq2seq.training.dev_scoring import DevScore, calibrate_model, facts, score_dev
from asr_seq2seq.training.distributed import DistributedContext, join_processes
from asr_seq2seq.training.fine_tuning import take_weights
from asr_seq2seq.training.learner import Learner
from asr_seq2seq.training.run_folder import MODEL, Resume, keep_checkpoint, open_run
from asr_seq2seq.training.run_log import RunLog
from asr_seq2seq.training.state import Position, restore, save_state
from asr_seq2seq.training.stopping import StopRequest
from asr_seq2seq.training_config import Config

_WORTH_SAVING = 60.0  # seconds of an epoch whose state is saved before the dev set is decoded as well


@dataclass(frozen=True)
class Result:
    """What a run ends with: the best model's file and its dev figures; `stopped` is 0 or a signal.

    `fine_tuning` compares the model that a finished run started from with its best one, on dev.
    """

    model: Path
    epoch: int
    dev_wer: float
    dev_cer: float
    stopped: int = 0
    fine_tuning: Comparison | None = None


def train(config: Config, run: Path, device_name: str = "auto", resume: Resume = "auto") -> Result:
    """Train by `config` and leave a run folder: the best model by dev WER, metrics, the frozen recipe.

    A run that was interrupted is resumed from its saved state, exactly as if it had not been, unless
    `resume` is "never". SIGTERM and Ctrl-C save the state and end the run after the step at hand.
    Under torchrun its processes share the batches.
    """
    context, device_name = join_processes(device_name)
    try:
        with ExitStack() as held:
            prepared = _prepare(config, run, pick_device(device_name), resume, context, held)
            return prepared.train()
    finally:
        context.close()


def _prepare(
    config: Config,
    folder: Path,
    device: torch.device,
    resume: Resume,
    context: DistributedContext,
    held: ExitStack,
) -> _Run:
    """Read the corpora, open the run folder, build the network, and restore a state that is there."""
    torch.manual_seed(config.seed)
    data = load_data(config, message if context.leads else lambda text: None)
    check_sounds(data.dev, context)
    if context.leads:
        make_folder(folder)
        held.enter_context(lock(folder, "trained"))
    state = context.from_leader(open_run(folder, config, resume) if context.leads else None)
    if context.leads:
        data.write_manifests(folder)

    model = Seq2Seq(config, len(data.alphabet)).to(device)
    if config.decoding.tokens_per_frame is None:
        limit = data.tokens_per_frame(model.seconds_per_frame)
        if data.start is not None:  # which may know faster speech
            limit = max(limit, data.start.config.decoding.tokens_per_frame or 0.0)
        decoding = config.decoding.changed(tokens_per_frame=limit)
        config = config.model_copy(update={"decoding": decoding})
    if data.start is not None:
        take_weights(model, data.start, str(config.training.start_from))
    elif config.features.normalization == "corpus" and state is None:
        model.features.set_statistics((batch.inputs, batch.lengths) for batch in data.train if batch.ids)
    learner = Learner(config, model, device, context)
    plan = f"{config.data.batch_seconds} {config.data.buckets}"
    if state is None:
        position = Position(corpus=data.train_digest, dev=data.dev_digest, plan=plan)
    else:
        position = restore(folder, state, learner.parts, data.train_digest, data.dev_digest)
    run = _Run(config, folder, data, learner, position, context, resumed=state is not None)
    if position.plan != plan:
        if position.batches:
            run.say(f"other batches than before (data.batch_seconds): epoch {position.epoch} starts again")
        position.batches, position.sums, position.plan = 0, {}, plan
    return run


@dataclass
class _Run:
    """A run at its position, and what its epochs share."""

    config: Config
    folder: Path
    data: TrainingData
    learner: Learner
    position: Position
    context: DistributedContext
    resumed: bool
    started: float = field(init=False)
    log: RunLog | None = None  # of the process that writes
    stopped: int = 0  # the signal that ends the run, or 0
    unreadable: set[str] = field(default_factory=set)  # what was said of utterances already

    def say(self, text: str) -> None:
        """A message, from one of the processes."""
        if self.context.leads:
            message(text)

    def train(self) -> Result:
        """Train to the last epoch, or until a signal."""
        self._announce()
        self.learner.check_memory(self.data.train.longest())
        self.data.share(self.context)
        position, provenance = self.position, self.data.provenance(self.config)
        self.started = time.perf_counter() - position.elapsed
        if self.context.leads:
            self.log = RunLog(self.folder, position, self.config.training.log_steps)
        with StopRequest() as stop, sound_progress() as bars:
            total = self.config.training.epochs * self.data.train.seconds
            bar = bars.add_task("", total=total, note="", visible=self.context.leads)
            self._score_start(provenance)
            while position.epoch <= self.config.training.epochs and not (self.stopped or self._stale()):
                figures = self._train_epoch(stop, bars, bar)
                if self.stopped:
                    break
                self._end_epoch(figures, provenance)
                if self.context.sum(torch.tensor(float(bool(stop.signal)), device=self.learner.device)):
                    self.stopped = stop.signal or signal.SIGTERM
        finished = self.context.leads and not self.stopped and position.best_epoch
        compared = self._finish() if finished else None
        wer, cer, _ = position.best
        return Result(self.folder / MODEL, position.best_epoch, wer, cer, self.stopped, compared)

    def _stale(self) -> bool:
        """Whether so many epochs brought no better dev figures that the run ends early."""
        patience, position = self.config.training.patience, self.position
        waited = position.epoch - 1 - max(position.better_epoch, position.best_epoch)
        if not patience or waited < patience:
            return False
        self.say(f"ending after epoch {position.epoch - 1}: {waited} epochs without a better dev WER or loss")
        return True

    def _score_start(self, provenance: dict[str, Any]) -> None:
        """Of fine-tuning, score the model before the first step as epoch 0, and keep its hypotheses."""
        kept = self.context.from_leader(self.resumed and (self.folder / before_after.BEFORE).exists())
        if self.data.start is None or kept:
            return
        network = self.learner.network if not self.resumed else self.data.start.model
        dev = score_dev(self._recognizer(network, provenance), self.data.dev, self.context)
        elapsed = time.perf_counter() - self.started
        if self.log is not None:
            before_after.keep_before(self.folder, dev.lines)
            if not self.resumed:
                figures = {"epoch": 0, "step": 0, **dev.figures, "elapsed_seconds": elapsed}
                self.log.add_epoch(figures, dev.lines, 0)
                self._save()
        start = self.config.training.start_from
        self.say(f"epoch   0  {start} before any step  {_described(dev.figures)}  {elapsed:.0f} s")

    def _recognizer(self, network: Seq2Seq, provenance: dict[str, Any]) -> ModelFile:
        settings = self.config.recognizer()
        return ModelFile(network, settings, self.data.alphabet, self.data.normalizer, provenance)

    def _announce(self) -> None:
        data, model = self.data, self.learner.model
        left_out = f", {data.left_out} too short or too long left out" if data.left_out else ""
        processes = f", {self.context.size} processes" if self.context.size > 1 else ""
        self.say(
            f"training on {len(data.utterances):,} utterances ({data.train.seconds / 3600:.2f} h{left_out}), "
            f"dev {len(data.dev.sampler.utterances):,} ({data.dev.seconds / 3600:.2f} h); "
            f"{len(data.alphabet)} symbols; {sum(p.numel() for p in model.parameters()) / 1e6:.2f} million "
            f"parameters on {self.learner.device}{processes}"
        )
        if self.resumed:
            self.say(f"resuming in epoch {self.position.epoch} after {self.position.step:,} steps")

    def _train_epoch(self, stop: StopRequest, bars: Progress, bar: TaskID) -> dict[str, float]:
        """Train on the rest of the epoch, or until a signal; its mean losses and its speed."""
        position, learner, data = self.position, self.learner, self.data
        learner.model.train()
        sums = defaultdict(float, position.sums)
        started, seconds_before = time.perf_counter(), sums["seconds"]
        last = started
        group = self.context.size * self.config.training.accumulate  # batches of one step
        for batches in self._steps():
            progress = self._progress(sums["seconds"])
            share = learner.gradients(
                batches, position.epoch, position.batches, progress, stop=bool(stop.signal)
            )
            if share["stop"]:
                self.stopped = stop.signal or signal.SIGTERM
            if not share["batches"]:  # no process has any left
                break
            position.batches += group
            sums["seconds"] += share["seconds"]
            if share["characters"]:
                norm = learner.step(share, batches, progress, self.folder)
                if norm is not None:
                    position.step += 1
                    for name in ("loss", "decoder", "ctc", "characters"):
                        sums[name] += share[name]
                    if self.log is not None:
                        now = time.perf_counter()
                        self.log.add_step(position, share, norm, learner.schedule.rate, now - last)
                        last = now
                done = (position.epoch - 1) * data.train.seconds + min(sums["seconds"], data.train.seconds)
                note = f"loss {share['loss'] / share['characters']:.3f}"
                bars.update(bar, completed=done, description=f"epoch {position.epoch}", note=note)
            position.sums, position.elapsed = dict(sums), time.perf_counter() - self.started
            if self.stopped:
                break
            if position.step % self.config.training.save_steps == 0:
                self._save()
        seconds = time.perf_counter() - started
        if self.stopped or seconds > _WORTH_SAVING:
            self._save()
        if not self.stopped and not sums["characters"]:
            raise CorpusError(
                f"{self.folder}: no batch of epoch {position.epoch} could be learned from; see above why"
            )
        means = {name: sums[name] / max(1, sums["characters"]) for name in ("loss", "decoder", "ctc")}
        return means | {"sound_per_second": (sums["seconds"] - seconds_before) / seconds}

    def _steps(self) -> Iterator[list[Batch]]:
        """This process's batches of each step; empty lists while only other processes have some left."""
        sampler = self.data.train.sampler
        sampler.epoch, sampler.skip = self.position.epoch, self.position.batches
        batches = iter(self.data.train)
        while True:
            mine = list(islice(batches, self.config.training.accumulate))
            for problem in (problem for batch in mine for problem in batch.problems):
                if problem not in self.unreadable:
                    self.unreadable.add(problem)
                    message(f"left out: {problem}")
            yield mine

    def _progress(self, seconds: float) -> float:
        """The part of the run that is done, 0 to 1, after these seconds of sound of the epoch."""
        epochs_done = self.position.epoch - 1 + min(seconds / self.data.train.seconds, 1.0)
        return epochs_done / self.config.training.epochs

    def _save(self) -> None:
        if self.context.leads:
            save_state(self.folder, self.position, self.learner.parts)

    def _end_epoch(self, figures: dict[str, float], provenance: dict[str, Any]) -> None:
        """Score the epoch on the dev set; keep its model where it is the best, its figures, the state."""
        position, learner, epoch = self.position, self.learner, self.position.epoch
        recognizer = self._recognizer(learner.network, provenance)
        scored = score_dev(recognizer, self.data.dev, self.context)
        dev = scored.figures
        learner.schedule.after_epoch(dev["dev_loss"])
        elapsed = time.perf_counter() - self.started
        speed = figures.pop("sound_per_second")
        figures = {"epoch": epoch, "step": position.step, **figures, **dev}
        figures |= {"learning_rate": learner.schedule.rate, "sound_per_second": speed}
        figures |= {"elapsed_seconds": elapsed}
        if learner.device.type == "cuda":
            figures["gpu_megabytes"] = torch.cuda.max_memory_allocated(learner.device) / 1e6
        better = rank(dev) < position.best
        if better:
            position.best, position.best_epoch = rank(dev), epoch
        if better or dev["dev_loss"] < position.best_loss:
            position.better_epoch = epoch
        position.best_loss = min(position.best_loss, dev["dev_loss"])
        position.epoch, position.batches, position.sums, position.elapsed = epoch + 1, 0, {}, elapsed
        if self.log is not None:
            recognizer = recognizer.with_provenance(epoch=epoch, **facts(dev))
            if better:
                save_model(self.folder / MODEL, recognizer)
                self._keep_after(scored)
            keep_checkpoint(self.folder, recognizer, epoch, self.config.training.keep_epochs)
            self.log.add_epoch(figures, scored.lines, position.step)
            self._save()
        self.say(
            f"epoch {epoch:3d}  loss {figures['loss']:.4f}  {_described(dev)}  "
            f"{speed:,.0f} s of sound/s  {elapsed:.0f} s{'  best' if better else ''}"
        )

    def _keep_after(self, scored: DevScore) -> None:
        if self.data.start is not None:
            before_after.keep_after(self.folder, scored.lines)

    def _finish(self) -> Comparison | None:
        """Try the mean of the kept epochs, fit the best model's confidence, compare it with the start."""
        self.data.dev.sampler.rank, self.data.dev.sampler.size = 0, 1
        if self.config.training.keep_epochs > 1:
            self._try_mean()
        start, device = self.data.start, self.learner.device
        present = PlattScaling.of((self.config if start is None else start.config).decoding)
        self.say(calibrate_model(self.folder / MODEL, self.data.dev, device, present))
        if start is None:
            return None
        found = before_after.compare_with_start(self.folder, self.data.normalizer)
        if found is not None:
            self.say(before_after.describe(found, str(self.config.training.start_from)))
        return found

    def _try_mean(self) -> None:
        """Let the mean of the kept epochs be the model of the run if it is better on dev."""
        paths = checkpoints(self.folder)
        mean = ModelFile.of(average_recognizers(paths), self.learner.device)
        scored = score_dev(mean, self.data.dev)
        dev = scored.figures
        better = rank(dev) < self.position.best
        if better:
            self.position.best = rank(dev)
            save_model(self.folder / MODEL, mean.with_provenance(**facts(dev)))
            self._keep_after(scored)
            self._save()
        self.say(f"mean of {len(paths)} epochs  {_described(dev)}{'  best' if better else ''}")


def _described(dev: dict[str, float]) -> str:
    return f"dev loss {dev['dev_loss']:.4f}  WER {dev['dev_wer']:7.2%}  CER {dev['dev_cer']:7.2%}"
