"""Training a character language model: read sentences, minimize -log p per character, keep the best."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.epochs import METRICS, append_row
from asr_seq2seq.errors import AsrError
from asr_seq2seq.files import lock, make_folder
from asr_seq2seq.messages import message
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.files import LanguageModelFile, save_language_model
from asr_seq2seq.model.language_model import LanguageModel
from asr_seq2seq.progress import Progress, count_progress
from asr_seq2seq.signals import number_of
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.optim import Schedule, autocast, build_optimizer
from asr_seq2seq.training.run_folder import MODEL, make_run_folder
from asr_seq2seq.training.sentences import Sentences, read_text
from asr_seq2seq.training_config import LanguageModelConfig

Batch = tuple[Tensor, Tensor]  # tokens (B, U) zero-padded, lengths (B,)


@dataclass(frozen=True)
class LanguageModelResult:
    """The best model's file and its perplexity per character; `stopped` is 0 or a signal."""

    model: Path
    epoch: int
    dev_perplexity: float
    stopped: int = 0


def train_language_model(
    config: LanguageModelConfig, run: Path, device_name: str = "auto"
) -> LanguageModelResult:
    """Train by `config` and leave a run folder: the best model by dev loss, metrics, the frozen recipe.

    Ctrl-C, and SIGTERM on the command line, end the run with the best model so far in place.
    """
    device = pick_device(device_name)
    with ExitStack() as held:
        return _train(config, run, device, held)


def _train(
    config: LanguageModelConfig, run: Path, device: torch.device, held: ExitStack
) -> LanguageModelResult:
    torch.manual_seed(config.seed)
    sentences = read_text(config.data)
    budget = config.data.batch_characters
    dev_batches = list(batches(sentences.dev, sentences.alphabet, budget))
    model = LanguageModel(config, len(sentences.alphabet)).to(device)
    optimizer = build_optimizer(config.training, model.parameters())
    schedule = Schedule(config.training, optimizer)
    make_folder(run)
    held.enter_context(lock(run, "trained"))
    make_run_folder(run, config)
    left_out = f", {sentences.left_out:,} too long left out" if sentences.left_out else ""
    message(
        f"training on {len(sentences.train):,} sentences ({sentences.characters:,} characters{left_out}), "
        f"dev {len(sentences.dev):,}; {len(sentences.alphabet)} symbols; "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters on {device}"
    )
    result, started = LanguageModelResult(run / MODEL, 0, math.inf), time.perf_counter()
    shuffle = random.Random(config.seed)
    try:
        with count_progress() as bars:
            bar = bars.add_task("epoch 1", total=config.training.epochs * len(sentences.train))
            for epoch in range(1, config.training.epochs + 1):
                epoch_started = time.perf_counter()
                shuffled = batches(sentences.train, sentences.alphabet, budget, shuffle)
                loss = _train_epoch(config, model, schedule, shuffled, epoch, len(sentences.train), bars, bar)
                speed = sentences.characters / (time.perf_counter() - epoch_started)
                dev_loss = mean_loss(model, dev_batches, device)
                if not math.isfinite(dev_loss):
                    raise AsrError(f"{run}: the loss is not a number any more; lower training.learning_rate")
                schedule.after_epoch(dev_loss)
                figures = {
                    "epoch": epoch,
                    "loss": loss / sentences.characters,
                    "dev_loss": dev_loss,
                    "dev_perplexity": math.exp(dev_loss),
                    "learning_rate": schedule.rate,
                    "characters_per_second": speed,
                    "elapsed_seconds": time.perf_counter() - started,
                }
                result = _end_epoch(config, run, model, sentences, figures, result)
    except KeyboardInterrupt as stop:
        result = replace(result, stopped=number_of(stop))
    return result


def _train_epoch(
    config: LanguageModelConfig,
    model: LanguageModel,
    schedule: Schedule,
    shuffled: Iterable[Batch],
    epoch: int,
    count: int,
    bars: Progress,
    bar: Any,
) -> float:
    """Take a step for each batch of an epoch of `count` sentences; the loss summed over characters."""
    model.train()
    device = next(model.parameters()).device
    total, done = torch.zeros((), device=device), 0
    for tokens, lengths in shuffled:
        schedule.before_step((epoch - 1 + done / count) / config.training.epochs)
        with autocast(config.training, device):
            loss = model.loss(tokens.to(device), lengths.to(device))
        schedule.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.training.gradient_clip)
        schedule.optimizer.step()
        total += loss.detach() * int(lengths.sum() + len(lengths))
        done += len(lengths)
        bars.update(bar, advance=len(lengths), description=f"epoch {epoch}")
    return float(total)


def _end_epoch(
    config: LanguageModelConfig,
    run: Path,
    model: LanguageModel,
    sentences: Sentences,
    figures: dict[str, float],
    best: LanguageModelResult,
) -> LanguageModelResult:
    """Keep the figures of an epoch, and its model where it is the best so far."""
    epoch, perplexity = int(figures["epoch"]), figures["dev_perplexity"]
    append_row(run / METRICS, figures)
    better = perplexity < best.dev_perplexity
    if better:
        provenance = {
            "trained_on": config.data.train,
            "sentences": len(sentences.train),
            "characters": sentences.characters,
            "epoch": epoch,
            "dev_perplexity": round(perplexity, 5),
            "date": time.strftime("%Y-%m-%d"),
            "torch": torch.__version__,
            "recipe": config.provenance(),
        }
        settings, alphabet, normalizer = config.settings(), sentences.alphabet, sentences.normalizer
        save_language_model(run / MODEL, LanguageModelFile(model, settings, alphabet, normalizer, provenance))
        best = LanguageModelResult(run / MODEL, epoch, perplexity)
    message(
        f"epoch {epoch:3d}  loss {figures['loss']:.4f}  dev loss {figures['dev_loss']:.4f}  "
        f"perplexity per character {perplexity:.3f}  {figures['characters_per_second']:,.0f} characters/s  "
        f"{figures['elapsed_seconds']:.0f} s{'  best' if better else ''}"
    )
    return best


def batches(
    sentences: list[str], alphabet: Alphabet, budget: int, shuffle: random.Random | None = None
) -> Iterator[Batch]:
    """Batches of similar length with at most `budget` characters, padding included, or one sentence."""
    order = list(range(len(sentences)))
    if shuffle is not None:
        shuffle.shuffle(order)
    order.sort(key=lambda number: len(sentences[number]))
    groups: list[list[int]] = [[]]
    for number in order:
        if groups[-1] and (len(groups[-1]) + 1) * (len(sentences[number]) + 1) > budget:
            groups.append([])
        groups[-1].append(number)
    if shuffle is not None:
        shuffle.shuffle(groups)
    for group in groups:
        encoded = [torch.tensor(alphabet.encode(sentences[number])) for number in group]
        yield pad_sequence(encoded, batch_first=True), torch.tensor([len(tokens) for tokens in encoded])


@torch.no_grad()
def mean_loss(model: LanguageModel, batches: Iterable[Batch], device: torch.device) -> float:
    """-log p per character, end symbols included, over all batches; the model is set to evaluation."""
    model.eval()
    total, count = 0.0, 0
    for tokens, lengths in batches:
        characters = int(lengths.sum()) + len(lengths)
        total += float(model.loss(tokens.to(device), lengths.to(device))) * characters
        count += characters
    return total / count
