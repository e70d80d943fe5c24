"""Training, from top to bottom: read the corpora, build the network, minimize the loss, keep the best."""

from __future__ import annotations

import math
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asr_seq2seq.corpora import Utterance, digest, load_corpora
from asr_seq2seq.epochs import append_metrics, checkpoints
from asr_seq2seq.errors import AsrError, ConfigError, CorpusError
from asr_seq2seq.evaluation.evaluate import calibrate, decode
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.files import lock, make_folder, without_infinity
from asr_seq2seq.inference.pipeline import Pipeline
from asr_seq2seq.messages import message
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.model.seq2seq import Loss, Seq2Seq
from asr_seq2seq.model_file.averaging import average_recognizers
from asr_seq2seq.progress import sound_progress
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import Batch, Batches, hold_out, readable, seed_from, within_limits
from asr_seq2seq.training.board import Board
from asr_seq2seq.training.distributed import Team, join_team
from asr_seq2seq.training.fine_tuning import model_to_start_from, take_weights
from asr_seq2seq.training.optim import Schedule, autocast, build_optimizer
from asr_seq2seq.training.run_folder import (
    MODEL,
    Resume,
    keep_checkpoint,
    open_run,
)
from asr_seq2seq.training.state import Position, restore, save_state
from asr_seq2seq.training.stopping import StopRequest
from asr_seq2seq.training_config import Config

_LIMIT_MARGIN = 1.2  # a text may be so much denser than the densest of training
_DECODED_TOGETHER = 64  # dev utterances
_MOST_SKIPPED = 20  # batches in a row with a loss that is not a number
_WORTH_SAVING = 60.0  # seconds of an epoch whose state is saved before the dev set is heard as well
# What processes tell each other of a step: sums over characters, and whether one was asked to stop.
_SHARES = ("loss", "decoder", "ctc", "characters", "seconds", "batches", "stop")


@dataclass(frozen=True)
class Result:
    """What a run ends with: the best model's file and its dev figures; `stopped` is 0 or a signal."""

    model: Path
    epoch: int
    dev_wer: float
    dev_cer: float
    stopped: int = 0


def train(config: Config, run: Path, device_name: str = "auto", resume: Resume = "auto") -> Result:
    """Train by `config` and leave a run folder: the best model by dev WER, metrics, the frozen recipe.

    A run that was broken off goes on where its state was saved, exactly as if it had not been, unless
    `resume` is "never". SIGTERM and Ctrl-C save the state and end the run after the step at hand.
    Under torchrun its processes share the batches.
    """
    team, device_name = join_team(device_name)
    try:
        with ExitStack() as held:
            return _train(config, run, pick_device(device_name), resume, team, held)
    finally:
        team.close()


def _readable(corpora: Sequence[str], say: Callable[[str], None]) -> list[Utterance]:
    """The utterances of the corpora without those that are known not to be readable, which it names."""
    cuts, problems = readable(load_corpora(corpora))
    if problems:
        say(f"left out: {len(problems)} utterances that cannot be read, the first: {'; '.join(problems[:3])}")
    return cuts


def _check_sounds(batches: Batches, team: Team) -> None:
    """CorpusError for dev utterances that cannot be read to their end: a score must not pass over them."""
    batches.plan.rank, batches.plan.size = team.rank, team.size
    problems = team.gather([problem for batch in batches for problem in batch.problems])
    if problems:
        more = f" (and {len(problems) - 1} more of the dev set)" if problems[1:] else ""
        raise CorpusError(f"{problems[0]}{more}; mend the dev corpus or take the utterance out")


def _train(
    config: Config, run: Path, device: torch.device, resume: Resume, team: Team, held: ExitStack
) -> Result:
    settings = config.training
    torch.manual_seed(config.seed)

    def say(text: str) -> None:
        if team.leads:
            message(text)

    # ---- corpora ----
    if not config.data.train:
        raise ConfigError("data.train names no corpus; give one, e.g. --set data.train=train.jsonl")
    train_cuts, left_out = within_limits(_readable(config.data.train, say), config.data)
    if config.data.dev:
        dev_cuts = _readable(config.data.dev, say)
    elif config.data.dev_fraction:
        train_cuts, dev_cuts = hold_out(train_cuts, config.data.dev_fraction)
    else:
        raise ConfigError("data.dev names no corpus; give one, or hold some out with data.dev_fraction=0.1")
    normalizer = Normalizer.named(config.data.normalizer)
    texts = [normalizer(cut.text) for cut in train_cuts]
    spelled = [*texts, " "] if config.augmentation.joining.probability else texts
    start = model_to_start_from(settings.start_from, config, spelled) if settings.start_from else None
    alphabet = start.alphabet if start else Alphabet.from_texts(spelled)
    common: dict[str, Any] = {
        "features": config.features,
        "alphabet": alphabet,
        "normalizer": normalizer,
    }
    train_batches = Batches(
        train_cuts,
        config.data,
        augmentation=config.augmentation,
        shuffle=True,
        seed=config.seed,
        **common,
    )

    dev_batches = Batches(dev_cuts, config.data, **common)
    _check_sounds(dev_batches, team)

    if team.leads:
        make_folder(run)
        held.enter_context(lock(run, "trained"))
    state = team.from_leader(open_run(run, config, resume) if team.leads else None)

    # ---- network ----
    model = Seq2Seq(config, len(alphabet)).to(device)
    if config.decoding.tokens_per_frame is None:
        lengths = [math.ceil(cut.duration / model.seconds_per_frame) for cut in train_cuts]
        densest = max(len(text) / frames for text, frames in zip(texts, lengths, strict=True))
        search_settings = config.decoding.changed(tokens_per_frame=round(_LIMIT_MARGIN * densest, 4))
        config = config.model_copy(update={"decoding": search_settings})
    if start is not None:
        take_weights(model, start, str(settings.start_from))
    elif config.features.normalization == "corpus" and state is None:
        model.features.set_statistics((batch.inputs, batch.lengths) for batch in train_batches if batch.ids)
    optimizer = build_optimizer(settings, model.parameters())
    schedule = Schedule(settings, optimizer)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    average = None
    if settings.average_decay:
        decay = get_ema_multi_avg_fn(settings.average_decay)  # type: ignore[no-untyped-call]
        average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
        parts["average"] = average.to(device)  # of a copy, cuDNN wants the weights laid together anew
    resumed = state is not None
    corpus, chosen_on = digest(train_cuts), digest(dev_cuts)
    plan = f"{config.data.batch_seconds} {config.data.buckets}"
    if state is None:
        position = Position(corpus=corpus, dev=chosen_on, plan=plan)
    else:
        position = restore(run, state, parts, corpus, chosen_on)
        if position.plan != plan:
            if position.batches:
                say(f"other batches than before (data.batch_seconds): epoch {position.epoch} begins again")
            position.batches, position.sums, position.plan = 0, {}, plan
    del state, texts, spelled  # large, and of no more use
    provenance = _provenance(config, train_cuts, train_batches.seconds)

    def learn(batch: Batch, progress: float) -> tuple[Tensor, int]:
        """Add the gradient of a batch's loss, summed over characters; [loss, decoder, ctc], characters.

        `progress` is the part of the run that is done, 0 to 1.
        """
        moved = batch.to(device)
        characters = int(batch.token_lengths.sum()) + len(batch.ids)
        with autocast(settings, device):
            loss: Loss = model(
                moved.inputs,
                moved.lengths,
                moved.tokens,
                moved.token_lengths,
                settings.label_smoothing,
                settings.scheduled_sampling * progress,
                settings.consistency * progress,
            )
        (loss.total * characters).backward()  # type: ignore[no-untyped-call]
        return torch.stack((loss.total, loss.decoder, loss.ctc)).detach() * characters, characters

    board = Board(run / "tensorboard", position.step + 1) if team.leads else None
    say(
        f"{len(train_cuts):,} utterances ({train_batches.seconds / 3600:.2f} h) to learn from"
        f"{f', {left_out} too short or too long left out' if left_out else ''}; "
        f"{len(dev_cuts):,} ({dev_batches.seconds / 3600:.2f} h) to choose on; {len(alphabet)} symbols; "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters on {device}"
        f"{f', {team.size} processes' if team.size > 1 else ''}"
    )
    if resumed:
        say(f"goes on in epoch {position.epoch} after {position.step:,} steps")
    longest = train_batches.longest()
    try:
        model.train()
        if longest.ids:
            learn(longest, 1.0)  # what does not fit into memory should show now
    except torch.OutOfMemoryError:
        raise AsrError(
            f"{run}: the longest batch does not fit into the memory of {device}; lower data.batch_seconds "
            "or data.max_seconds"
        ) from None

    # ---- epochs ----
    group = team.size * settings.accumulate  # batches of one step
    train_batches.plan.rank = dev_batches.plan.rank = team.rank
    train_batches.plan.size = dev_batches.plan.size = team.size
    total_seconds = settings.epochs * train_batches.seconds
    started, skipped = time.perf_counter() - position.elapsed, 0
    unreadable: set[str] = set()
    stopped = 0
    with StopRequest() as stop, sound_progress() as bars:
        bar = bars.add_task("", total=total_seconds, note="", visible=team.leads)
        while position.epoch <= settings.epochs and not stopped:
            model.train()
            epoch, sums = position.epoch, defaultdict(float, position.sums)
            epoch_started, seconds_before = time.perf_counter(), sums["seconds"]
            train_batches.plan.epoch, train_batches.plan.skip = epoch, position.batches
            batches = iter(train_batches)
            while not stopped:
                mine = list(islice(batches, settings.accumulate))
                for problem in (problem for batch in mine for problem in batch.problems):
                    if problem not in unreadable:
                        unreadable.add(problem)
                        message(f"left out: {problem}")
                progress = (epoch - 1 + min(sums["seconds"] / train_batches.seconds, 1.0)) / settings.epochs
                optimizer.zero_grad(set_to_none=True)
                shares = torch.zeros(len(_SHARES), device=device)
                for number, batch in enumerate(mine):
                    if batch.ids:
                        place = position.batches + number * team.size + team.rank
                        torch.manual_seed(seed_from(config.seed, epoch, place))
                        losses, characters = learn(batch, progress)
                        shares[:3] += losses
                        shares[3] += characters
                shares[4:] = torch.tensor([sum(b.seconds for b in mine), len(mine), bool(stop.signal)])
                share = dict(zip(_SHARES, team.sum(shares).tolist(), strict=True))
                if share["stop"]:
                    stopped = stop.signal or signal.SIGTERM
                if not share["batches"]:
                    break
                position.batches += group
                sums["seconds"] += share["seconds"]
                if share["characters"]:
                    schedule.before_step(progress)
                    team.sum_gradients(model.parameters(), share["characters"])
                    norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip))
                    if math.isfinite(norm) and math.isfinite(share["loss"]):
                        skipped = 0
                        optimizer.step()
                        if average is not None:
                            average.update_parameters(model)
                        position.step += 1
                        for name in ("loss", "decoder", "ctc", "characters"):
                            sums[name] += share[name]
                    else:
                        skipped += 1
                        names = ", ".join(name for batch in mine for name in batch.ids)
                        message(f"a batch without a finite loss is left out: {names}")
                        if skipped >= _MOST_SKIPPED:
                            raise AsrError(
                                f"{run}: {skipped} batches in a row had no finite loss; lower "
                                "training.learning_rate or training.gradient_clip, or mend the data"
                            )
                    bars.update(
                        bar,
                        completed=min((epoch - 1) * train_batches.seconds + sums["seconds"], total_seconds),
                        description=f"epoch {epoch}",
                        note=f"loss {share['loss'] / share['characters']:.3f}",
                    )
                position.sums, position.elapsed = dict(sums), time.perf_counter() - started
                if team.leads and not stopped and position.step % settings.save_steps == 0:
                    save_state(run, position, parts)
            trained = time.perf_counter() - epoch_started
            if team.leads and (stopped or trained > _WORTH_SAVING):
                save_state(run, position, parts)
            if stopped:
                break

            if not sums["characters"]:
                raise CorpusError(f"{run}: no batch of epoch {epoch} could be learned from; see above why")
            network = model if average is None else cast(Seq2Seq, average.module)
            recognizer = ModelFile(network, config.recognizer(), alphabet, normalizer, provenance)
            dev = _dev_figures(recognizer, dev_batches, device, team)
            schedule.after_epoch(dev["dev_loss"])
            figures: dict[str, float] = {
                "epoch": epoch,
                "step": position.step,
                **{name: sums[name] / sums["characters"] for name in ("loss", "decoder", "ctc")},
                **dev,
                "learning_rate": schedule.rate,
                "sound_per_second": (sums["seconds"] - seconds_before) / trained,
                "elapsed_seconds": time.perf_counter() - started,
            }
            if device.type == "cuda":
                figures["gpu_megabytes"] = torch.cuda.max_memory_allocated(device) / 1e6
            rank = [dev["dev_wer"], dev["dev_cer"], dev["dev_loss"]]
            better = rank < position.best
            if better:
                position.best, position.best_epoch = rank, epoch
            position.epoch, position.batches, position.sums = epoch + 1, 0, {}
            position.elapsed = time.perf_counter() - started
            if team.leads:
                recognizer = recognizer.with_provenance(epoch=epoch, **_of_dev(dev))
                if better:
                    save_model(run / MODEL, recognizer)
                keep_checkpoint(run, recognizer, epoch, settings.keep_epochs)
                append_metrics(run, figures)
                if board is not None:
                    board.add(figures, position.step)
                save_state(run, position, parts)
            say(
                f"epoch {epoch:3d}  loss {figures['loss']:.4f}  dev loss {dev['dev_loss']:.4f}  "
                f"WER {dev['dev_wer']:7.2%}  CER {dev['dev_cer']:7.2%}  "
                f"{figures['sound_per_second']:,.0f} s of sound/s  "
                f"{figures['elapsed_seconds']:.0f} s{'  best' if better else ''}"
            )
            if team.sum(torch.tensor(float(bool(stop.signal)), device=device)):
                stopped = stop.signal or signal.SIGTERM
    if team.leads and not stopped and position.best_epoch:
        dev_batches.plan.rank, dev_batches.plan.size = 0, 1
        if settings.keep_epochs > 1:
            say(_try_mean(run, position, parts, dev_batches, device))
        say(_calibrate(run / MODEL, dev_batches, device))
    return Result(run / MODEL, position.best_epoch, position.best[0], position.best[1], stopped)


def _try_mean(
    run: Path,
    position: Position,
    parts: dict[str, Any],
    batches: Batches,
    device: torch.device,
) -> str:
    """Let the mean of the kept epochs be the model of the run if it is better on dev; what to say of it."""
    mean = ModelFile.of(average_recognizers(checkpoints(run)), device)
    dev = _dev_figures(mean, batches, device, Team())
    rank = [dev["dev_wer"], dev["dev_cer"], dev["dev_loss"]]
    better = rank < position.best
    if better:
        position.best = rank
        save_model(run / MODEL, mean.with_provenance(**_of_dev(dev)))
        save_state(run, position, parts)
    return (
        f"mean of {len(checkpoints(run))} epochs  dev loss {dev['dev_loss']:.4f}  WER {dev['dev_wer']:7.2%}  "
        f"CER {dev['dev_cer']:7.2%}{'  best' if better else ''}"
    )


def _calibrate(path: Path, batches: Batches, device: torch.device) -> str:
    """Fit the confidence of words and store it in the model file; what to say of it."""
    recognizer = load_model(path, device)
    pipeline = _pipeline(recognizer.with_decoding(confidence_temperature=1.0))
    lines = [line for batch in batches for line in _decode(pipeline, batch)]
    temperature, before, after = calibrate(lines, recognizer.normalizer)
    save_model(path, recognizer.with_decoding(confidence_temperature=temperature))
    return (
        f"confidence of words on dev: {before:.2%} off on average, {after:.2%} with temperature "
        f"{temperature:.2f}"
    )


def _pipeline(recognizer: ModelFile, **options: float) -> Pipeline:
    """Decoding with the network on its device."""
    recognizer.model.eval()
    model = recognizer.loaded()
    return Pipeline(model, model.options(options), batch_size=_DECODED_TOGETHER)


def _decode(pipeline: Pipeline, batch: Batch) -> list[HypothesisLine]:
    """The hypotheses of a batch; CorpusError where an utterance cannot be read."""
    if batch.problems:
        raise CorpusError(f"{batch.problems[0]}; mend the corpus or take the utterance out")
    inputs = [row[:count].numpy() for row, count in zip(batch.inputs, batch.lengths.tolist(), strict=True)]
    return decode(pipeline, batch.ids, batch.texts, inputs)


@torch.no_grad()
def _dev_figures(
    recognizer: ModelFile, batches: Batches, device: torch.device, team: Team
) -> dict[str, float]:
    """Teacher-forced loss, and WER and CER of greedy decoding, on the dev utterances of all processes."""
    losses = torch.zeros(2, device=device)  # and characters
    references, hypotheses = [], []
    pipeline = _pipeline(recognizer, beam_size=1)
    for batch in batches:
        lines = _decode(pipeline, batch)
        moved = batch.to(device)
        loss = recognizer.model(moved.inputs, moved.lengths, moved.tokens, moved.token_lengths, 0.0)
        characters = int(batch.token_lengths.sum()) + len(batch.ids)
        losses += torch.stack((loss.total * characters, torch.tensor(float(characters), device=device)))
        references += [line.reference for line in lines]
        hypotheses += [line.hypothesis for line in lines]
    total, count = team.sum(losses).tolist()
    found = score(team.gather(references), team.gather(hypotheses), recognizer.normalizer)
    return {"dev_loss": total / count, "dev_wer": found.wer, "dev_cer": found.cer}


def _provenance(config: Config, cuts: Sequence[Utterance], seconds: float) -> dict[str, Any]:
    """What the model file tells of its making, whatever the epoch."""
    joining = config.augmentation.joining
    longest = max(cut.duration for cut in cuts)
    return {
        "trained_on": config.data.train,
        "utterances": len(cuts),
        "hours": round(seconds / 3600, 3),
        "longest_seconds": round(max(longest, joining.max_seconds if joining.probability else 0.0), 3),
        "torch": torch.__version__,
        "recipe": config.provenance(),
    }


def _of_dev(dev: dict[str, float]) -> dict[str, Any]:
    """What the model file tells of one epoch, or of the mean of several."""
    rounded = {name: round(value, 5) for name, value in dev.items()}
    told: dict[str, Any] = without_infinity(rounded)
    return told | {"date": time.strftime("%Y-%m-%d")}
