"""Training a character language model: read sentences, minimize -log p per character, keep the best."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.epochs import append_metrics
from asr_seq2seq.errors import AsrError, ConfigError, CorpusError
from asr_seq2seq.files import lock, make_folder
from asr_seq2seq.messages import message
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.files import LanguageModelFile, save_language_model
from asr_seq2seq.model.language_model import LanguageModel
from asr_seq2seq.progress import count_progress
from asr_seq2seq.signals import number_of
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.optim import Schedule, autocast, build_optimizer
from asr_seq2seq.training.run_folder import MODEL, make_run_folder
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
    settings = config.training

    # ---- sentences ----
    if not config.data.train:
        raise ConfigError("data.train names no text; give some, e.g. --set data.train=sentences.txt")
    if not config.data.dev and not config.data.dev_fraction:
        raise ConfigError("data.dev names no text; give some, or hold some out with data.dev_fraction=0.1")
    normalizer = Normalizer.named(config.data.normalizer)
    limit = config.data.max_characters
    found = read_sentences(config.data.train, normalizer)
    sentences = [sentence for sentence in found if len(sentence) <= limit]
    left_out = len(found) - len(sentences)
    if config.data.dev:
        dev_sentences = read_sentences(config.data.dev, normalizer)
    else:
        sentences, dev_sentences = hold_out(sentences, config.data.dev_fraction)
    if not sentences or not dev_sentences:
        raise CorpusError(
            f"{len(sentences):,} sentences to learn from and {len(dev_sentences):,} to choose on are too "
            f"few ({left_out:,} have more than data.max_characters={limit}); give more text"
        )
    alphabet = Alphabet.from_texts(sentences)
    budget = config.data.batch_characters
    characters = sum(len(sentence) + 1 for sentence in sentences)
    dev_batches = list(batches(dev_sentences, alphabet, budget))

    # ---- network ----
    model = LanguageModel(config, len(alphabet)).to(device)
    optimizer = build_optimizer(settings, model.parameters())
    schedule = Schedule(settings, optimizer)

    # ---- run folder ----
    make_folder(run)
    held.enter_context(lock(run, "trained"))
    make_run_folder(run, config)
    message(
        f"{len(sentences):,} sentences ({characters:,} characters) to learn from"
        f"{f', {left_out:,} too long left out' if left_out else ''}; "
        f"{len(dev_sentences):,} to choose on; {len(alphabet)} symbols; "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters on {device}"
    )

    # ---- epochs ----
    best = math.inf
    result = LanguageModelResult(run / MODEL, 0, math.inf)
    started, shuffle = time.perf_counter(), random.Random(config.seed)
    try:
        with count_progress() as progress:
            bar = progress.add_task("epoch 1", total=settings.epochs * len(sentences))
            for epoch in range(1, settings.epochs + 1):
                model.train()
                total, done, epoch_started = torch.zeros((), device=device), 0, time.perf_counter()
                for tokens, lengths in batches(sentences, alphabet, budget, shuffle):
                    schedule.before_step((epoch - 1 + done / len(sentences)) / settings.epochs)
                    with autocast(settings, device):
                        loss = model.loss(tokens.to(device), lengths.to(device))
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
                    optimizer.step()
                    total += loss.detach() * int(lengths.sum() + len(lengths))
                    done += len(lengths)
                    progress.update(bar, advance=len(lengths), description=f"epoch {epoch}")

                seconds = time.perf_counter() - epoch_started
                dev_loss = mean_loss(model, dev_batches, device)
                if not math.isfinite(dev_loss):
                    raise AsrError(f"{run}: the loss is not a number any more; lower training.learning_rate")
                schedule.after_epoch(dev_loss)
                figures = {
                    "epoch": epoch,
                    "loss": float(total) / characters,
                    "dev_loss": dev_loss,
                    "dev_perplexity": math.exp(dev_loss),
                    "learning_rate": schedule.rate,
                    "characters_per_second": characters / seconds,
                    "elapsed_seconds": time.perf_counter() - started,
                }
                append_metrics(run, figures)
                better = dev_loss < best
                if better:
                    provenance = {
                        "trained_on": config.data.train,
                        "sentences": len(sentences),
                        "characters": characters,
                        "epoch": epoch,
                        "dev_perplexity": round(math.exp(dev_loss), 5),
                        "date": time.strftime("%Y-%m-%d"),
                        "torch": torch.__version__,
                        "recipe": config.provenance(),
                    }
                    save_language_model(
                        run / MODEL,
                        LanguageModelFile(model, config.settings(), alphabet, normalizer, provenance),
                    )
                    best = dev_loss
                    result = LanguageModelResult(run / MODEL, epoch, math.exp(dev_loss))
                message(
                    f"epoch {epoch:3d}  loss {figures['loss']:.4f}  dev loss {dev_loss:.4f}  "
                    f"perplexity per character {figures['dev_perplexity']:.3f}  "
                    f"{figures['characters_per_second']:,.0f} characters/s  "
                    f"{figures['elapsed_seconds']:.0f} s{'  best' if better else ''}"
                )
    except KeyboardInterrupt as stop:
        result = replace(result, stopped=number_of(stop))
    return result


def read_sentences(paths: Iterable[str], normalizer: Normalizer) -> list[str]:
    """The normalized sentences, empty ones left out, of text files (one a line) and of corpora."""
    sentences = []
    for path in map(Path, paths):
        if path.is_dir() or path.name.endswith((".jsonl", ".json", ".jsonl.gz", ".csv", ".tsv")):
            from asr_seq2seq.corpora import load_corpus

            found = [utterance.text for utterance in load_corpus(path)]
        else:
            found = _read_lines(path)
        sentences += [sentence for text in found if (sentence := normalizer(text))]
    return sentences


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise CorpusError(
            f"{path}: no such text; give a file with one sentence a line, or a corpus"
        ) from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; give a file with one sentence a line") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); give a text file") from None


def hold_out(sentences: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """Sentences to learn from and to choose on, by a hash: all copies of one are on the same side."""
    order = sorted(set(sentences), key=lambda sentence: hashlib.md5(sentence.encode()).hexdigest())
    held = set(order[: max(1, round(fraction * len(order)))])
    return [s for s in sentences if s not in held], [s for s in sentences if s in held]


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
