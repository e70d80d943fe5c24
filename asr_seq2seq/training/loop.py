"""Training, from top to bottom: read the corpora, build the network, minimise the loss, keep the best."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from lhotse import CutSet
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from asr_seq2seq.batching import Batches, hold_out, within_limits
from asr_seq2seq.config import Config, SearchConfig
from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.device import pick_device
from asr_seq2seq.errors import AsrError, ConfigError, CorpusError
from asr_seq2seq.evaluation import calibrate, decode
from asr_seq2seq.model.seq2seq import Loss, Seq2Seq
from asr_seq2seq.model_file import ModelFile, load_model, save_model
from asr_seq2seq.progress import console, sound_progress
from asr_seq2seq.scoring.wer import score
from asr_seq2seq.text import Alphabet, Normalizer
from asr_seq2seq.training.optim import Schedule, build_optimizer
from asr_seq2seq.training.run_folder import MODEL, append_metrics, make_run_folder

_LIMIT_MARGIN = 1.2  # a text may be so much denser than the densest of training
_MOST_SKIPPED = 20  # batches in a row with a loss that is not a number


@dataclass(frozen=True)
class Result:
    """What a run ends with: the best model's file and its dev figures."""

    model: Path
    epoch: int
    dev_wer: float
    dev_cer: float
    interrupted: bool


def train(config: Config, run: Path, device_name: str = "auto") -> Result:
    """Train by `config` and leave a run folder: the best model by dev WER, metrics, the frozen recipe.

    Ctrl-C ends the run with the best model so far in place.
    """
    device = pick_device(device_name)
    torch.manual_seed(config.seed)
    settings = config.training

    # ---- corpora ----
    if not config.data.train:
        raise ConfigError("data.train names no corpus; give one, e.g. --set data.train=train.jsonl")
    train_cuts, left_out = within_limits(load_corpora(config.data.train), config.data)
    if config.data.dev:
        dev_cuts = load_corpora(config.data.dev)
    elif config.data.dev_fraction:
        train_cuts, dev_cuts = hold_out(train_cuts, config.data.dev_fraction)
    else:
        raise ConfigError("data.dev names no corpus; give one, or hold some out with data.dev_fraction=0.1")
    normalizer = Normalizer.named(config.data.normalizer)
    alphabet = Alphabet.from_texts(normalizer(cut.supervisions[0].text) for cut in train_cuts)
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

    make_run_folder(run, config)

    # ---- network ----
    model = Seq2Seq(config, len(alphabet)).to(device)
    if config.search.tokens_per_frame is None:
        densest = _characters_per_frame(train_cuts, normalizer, model.seconds_per_frame)
        search_settings = config.search.changed(tokens_per_frame=round(_LIMIT_MARGIN * densest, 4))
        config = config.model_copy(update={"search": search_settings})
    if config.features.normalization == "corpus":
        model.features.set_statistics((batch.inputs, batch.lengths) for batch in train_batches if batch.ids)
    optimizer = build_optimizer(settings, model.parameters())
    schedule = Schedule(settings, optimizer)
    average = None
    if settings.average_decay:
        decay = get_ema_multi_avg_fn(settings.average_decay)  # type: ignore[no-untyped-call]
        average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
    bfloat16 = settings.precision == "bfloat16" or (settings.precision == "auto" and device.type == "cuda")

    board = SummaryWriter(str(run / "tensorboard"))
    console.print(
        f"{len(train_cuts):,} utterances ({train_batches.seconds / 3600:.2f} h) to learn from"
        f"{f', {left_out} too short or too long left out' if left_out else ''}; "
        f"{len(dev_cuts):,} ({dev_batches.seconds / 3600:.2f} h) to choose on; {len(alphabet)} symbols; "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters on {device}"
    )

    # ---- epochs ----
    best: tuple[float, float, float] = (math.inf, math.inf, math.inf)
    result = Result(run / MODEL, 0, math.inf, math.inf, interrupted=False)
    total_seconds = settings.epochs * train_batches.seconds
    started, skipped, step = time.perf_counter(), 0, 0
    unreadable: set[str] = set()
    search = config.search.model_copy(update={"beam_size": 1})
    try:
        with sound_progress() as progress:
            bar = progress.add_task("epoch 1", total=total_seconds, note="")
            for epoch in range(1, settings.epochs + 1):
                model.train()
                train_batches.plan.epoch = epoch
                sums = {"loss": 0.0, "decoder": 0.0, "ctc": 0.0}
                seconds, batches, epoch_started = 0.0, 0, time.perf_counter()
                for batch in train_batches:
                    for problem in batch.problems:
                        if problem not in unreadable:
                            unreadable.add(problem)
                            console.print(f"left out: {problem}")
                    if not batch.ids:
                        continue
                    done = min(seconds / train_batches.seconds, 1.0)
                    schedule.before_step((epoch - 1 + done) / settings.epochs)
                    moved = batch.to(device)
                    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                        loss: Loss = model(
                            moved.inputs,
                            moved.lengths,
                            moved.tokens,
                            moved.token_lengths,
                            settings.label_smoothing,
                        )
                    optimizer.zero_grad(set_to_none=True)
                    loss.total.backward()  # type: ignore[no-untyped-call]
                    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
                    parts = torch.stack((loss.total, loss.decoder, loss.ctc, norm)).tolist()
                    seconds += batch.seconds
                    if not all(map(math.isfinite, parts)):
                        skipped += 1
                        console.print(f"a batch without a finite loss is left out: {', '.join(batch.ids)}")
                        if skipped >= _MOST_SKIPPED:
                            raise AsrError(
                                f"{run}: {skipped} batches in a row had no finite loss; lower "
                                "training.learning_rate or training.gradient_clip, or mend the data"
                            )
                        continue
                    skipped = 0
                    optimizer.step()
                    if average is not None:
                        average.update_parameters(model)
                    step, batches = step + 1, batches + 1
                    for name, value in zip(sums, parts, strict=False):
                        sums[name] += value
                    progress.update(
                        bar,
                        completed=(epoch - 1) * train_batches.seconds + min(seconds, train_batches.seconds),
                        description=f"epoch {epoch}",
                        note=f"loss {parts[0]:.3f}",
                    )

                if not batches:
                    raise CorpusError(f"{run}: no batch of epoch {epoch} could be learnt from; see above why")
                trained = time.perf_counter() - epoch_started
                network = model if average is None else cast(Seq2Seq, average.module)
                recogniser = ModelFile(network, config, alphabet, normalizer)
                dev = _dev_figures(recogniser, dev_batches, search, device)
                schedule.after_epoch(dev["dev_loss"])
                figures: dict[str, float] = {
                    "epoch": epoch,
                    "step": step,
                    **{name: value / batches for name, value in sums.items()},
                    **dev,
                    "learning_rate": schedule.rate,
                    "sound_per_second": seconds / trained,
                    "elapsed_seconds": time.perf_counter() - started,
                }
                append_metrics(run, figures)
                for name, value in figures.items():
                    board.add_scalar(name, value, step)
                rank = (dev["dev_wer"], dev["dev_cer"], dev["dev_loss"])
                better = rank < best
                if better:
                    provenance = _provenance(config, figures, train_cuts, train_batches.seconds)
                    save_model(run / MODEL, ModelFile(network, config, alphabet, normalizer, provenance))
                    best = rank
                    result = Result(run / MODEL, epoch, dev["dev_wer"], dev["dev_cer"], interrupted=False)
                progress.console.print(
                    f"epoch {epoch:3d}  loss {figures['loss']:.4f}  dev loss {dev['dev_loss']:.4f}  "
                    f"WER {dev['dev_wer']:7.2%}  CER {dev['dev_cer']:7.2%}  "
                    f"{figures['sound_per_second']:,.0f} s of sound/s  "
                    f"{figures['elapsed_seconds']:.0f} s{'  best' if better else ''}"
                )
    except KeyboardInterrupt:
        result = replace(result, interrupted=True)
    finally:
        board.close()
    if result.epoch and not result.interrupted:
        best_model = load_model(result.model, device)
        temperature, before, after = calibrate(best_model, dev_batches, best_model.config.search)
        save_model(result.model, best_model.with_search(confidence_temperature=temperature))
        console.print(
            f"confidence of words on dev: {before:.2%} off on average, {after:.2%} with temperature "
            f"{temperature:.2f}"
        )
    return result


@torch.no_grad()
def _dev_figures(
    recogniser: ModelFile, batches: Batches, search: SearchConfig, device: torch.device
) -> dict[str, float]:
    """Teacher-forced loss, and WER and CER of greedy decoding, on the dev utterances."""
    losses, count, references, hypotheses = 0.0, 0, [], []
    for batch in batches:
        (lines,) = decode(recogniser, [batch], search)
        moved = batch.to(device)
        loss = recogniser.model(moved.inputs, moved.lengths, moved.tokens, moved.token_lengths, 0.0)
        characters = int(batch.token_lengths.sum()) + len(batch.ids)
        losses, count = losses + float(loss.total) * characters, count + characters
        references += [line.reference for line in lines]
        hypotheses += [line.hypothesis for line in lines]
    found = score(references, hypotheses, recogniser.normalizer)
    return {"dev_loss": losses / count, "dev_wer": found.wer, "dev_cer": found.cer}


def _characters_per_frame(cuts: CutSet, normalizer: Normalizer, seconds_per_frame: float) -> float:
    """The densest text: its characters per encoded frame."""
    densest = 0.0
    for cut in cuts:
        frames = math.ceil(cut.duration / seconds_per_frame)
        densest = max(densest, len(normalizer(cut.supervisions[0].text)) / frames)
    return densest


def _provenance(config: Config, figures: dict[str, float], cuts: Any, seconds: float) -> dict[str, Any]:
    """What the model file tells of its making."""
    return {
        "trained_on": config.data.train,
        "utterances": len(cuts),
        "hours": round(seconds / 3600, 3),
        "longest_seconds": round(max(cut.duration for cut in cuts), 3),
        "epoch": figures["epoch"],
        "dev_wer": round(figures["dev_wer"], 5),
        "dev_cer": round(figures["dev_cer"], 5),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
    }
