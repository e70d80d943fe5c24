"""Measure what silence, noise, an offset and level do to the WER, and words that are found without speech.

    python benchmarks/robustness.py english corpora/english_dev/*.jsonl --keep-silence --out before.json
    python benchmarks/robustness.py english corpora/english_dev/*.jsonl --before before.json

Each utterance of the corpora is changed in every way of `changed_sounds.CHANGES` and recognized; the table
has the WER of each. With `--minutes` so many minutes of each sound of `changed_sounds.NO_SPEECH` are
transcribed, and the words in a minute counted.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from changed_sounds import CHANGES, NO_SPEECH, SHORT

from asr_seq2seq.audio import Samples
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.corpora import Utterance, load_corpus
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.errors import SilentAudioError
from asr_seq2seq.evaluation.evaluate import decode
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.inference.loading import LoadedModel, load, load_text_scorer
from asr_seq2seq.inference.pipeline import Pipeline
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.messages import message
from asr_seq2seq.runtime.session import RuntimeOptions
from asr_seq2seq.transcript import Transcript

Figures = dict[str, dict[str, float]]
_TOGETHER = 64  # utterances that are changed and recognized at a time


def main(
    model: Annotated[str, typer.Argument(help="Model file, or a bundled model.")],
    corpora: Annotated[list[Path] | None, typer.Argument(help="Corpora of speech.")] = None,
    beam_size: Annotated[int | None, typer.Option(min=1, help="The model's own if empty.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Take each N-th utterance.")] = 1,
    minutes: Annotated[float, typer.Option(min=0, help="Minutes of each sound without speech.")] = 0,
    keep_silence: Annotated[
        bool, typer.Option("--keep-silence", help="Give the model all silence, which is trimmed otherwise.")
    ] = False,
    no_speech_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of words without speech; 1 leaves nothing out.")
    ] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out what is no speech, as transcribe does.")
    ] = False,
    language_model: Annotated[str | None, typer.Option(help="For words without speech.")] = None,
    only: Annotated[str, typer.Option(help="Only changes and sounds whose name has this in it.")] = "",
    before: Annotated[Path | None, typer.Option(help="Figures of an earlier run, to stand beside.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Print a table of WER for each change of each corpus, and of words a minute without speech."""
    loaded = load(model, RuntimeOptions(threads=1))
    options = loaded.options({"beam_size": beam_size, "trim_silence": not keep_silence})
    figures: Figures = {}
    for corpus in corpora or []:
        utterances = load_corpus(str(corpus))[::every]
        figures[corpus.stem] = speech(loaded, utterances, options, only, leave_out)
    if minutes:
        lm = load_text_scorer(language_model, loaded.alphabet) if language_model else None
        changes = {"beam_size": beam_size, "no_speech_threshold": no_speech_threshold}
        recognizer = Recognizer(loaded, loaded.options(changes, lm), lm)
        figures["words a minute"] = no_speech(recognizer, minutes, only)
    earlier = json.loads(before.read_text(encoding="utf-8")) if before else {}
    print(table(figures, earlier))
    if out:
        out.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def speech(
    model: LoadedModel,
    utterances: Sequence[Utterance],
    options: DecodingOptions,
    only: str = "",
    leave_out: bool = False,
) -> dict[str, float]:
    """The WER of a corpus, in percent, for each change of its sound."""
    pipeline = Pipeline(model, options, times=leave_out, speech_only=leave_out)
    assert pipeline.sample_rate is not None
    sounds = [read_sound(one, pipeline.sample_rate) for one in utterances]
    found: dict[str, float] = {}
    for name, change in CHANGES.items():
        if only not in name:
            continue
        texts: list[str] = []
        for first in range(0, len(sounds), _TOGETHER):
            batch = [
                change(sound, pipeline.sample_rate, np.random.default_rng(first + number))
                for number, sound in enumerate(sounds[first : first + _TOGETHER])
            ]
            names = [one.id for one in utterances[first : first + len(batch)]]
            texts += [line.hypothesis for line in decode(pipeline, names, names, batch)]
        found[name] = 100 * score([one.text for one in utterances], texts, model.normalizer).wer
        message(f"{name}: {found[name]:.2f} %")
    return found


def no_speech(recognizer: Recognizer, minutes: float, only: str = "") -> dict[str, float]:
    """Words in a minute that are found in each sound without speech."""
    found: dict[str, float] = {}
    for name, make in NO_SPEECH.items():
        if only not in name:
            continue
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        rate = recognizer.sample_rate
        sound: Samples = make(60 * minutes, rate, rng)
        parts = short_parts(sound, rate, rng) if name in SHORT else [sound]
        results = recognizer.transcribe_each(parts, rate=rate)
        texts = []
        for one in results:
            if isinstance(one, Transcript):
                texts.append(one.text)
            elif not isinstance(one, SilentAudioError):
                raise one
        text = " ".join(filter(None, texts))
        found[name] = len(text.split()) / minutes
        message(f"{name}: {found[name]:.1f} words a minute: {text[:60]}")
    return found


def short_parts(sound: Samples, rate: int, rng: np.random.Generator) -> list[Samples]:
    """All of a sound (N,), in parts of one to three seconds."""
    ends = np.cumsum(rng.uniform(rate, 3 * rate, len(sound) // rate)).astype(int)
    return np.split(sound, ends[ends < len(sound) - rate])


def table(figures: Figures, earlier: Figures) -> str:
    """The figures as a table of Markdown, those of an earlier run in front of them."""
    lines = []
    for what, values in figures.items():
        old = earlier.get(what, {})
        lines += [f"| {what} | before | after |", "|---|---|---|"] if old else [f"| {what} | |", "|---|---|"]
        for name, value in values.items():
            first = [f"{old[name]:.1f}" if name in old else ""] if old else []
            lines.append("| " + " | ".join([name, *first, f"{value:.1f}"]) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    run_function(main)
