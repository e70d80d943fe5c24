"""The verb `align`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.options import (
    AsJson,
    ComputeType,
    OutputFolder,
    RuntimeDevice,
    Threads,
)
from asr_seq2seq.cli.output import need_standard_output, print_json, print_line
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.messages import message
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    from asr_seq2seq.inference.aligner import AlignedText
    from asr_seq2seq.inference.script import Script
    from asr_seq2seq.runtime.session import RuntimeOptions
    from asr_seq2seq.transcript import Transcript

MARGIN = 0.35  # seconds of a pause that an utterance keeps on each side; two share what is between them


Model = Annotated[Path, typer.Argument(help="Model file, run folder, or the name of a bundled one.")]
SoundFile = Annotated[Path, typer.Argument(help="A sound file of any length.")]
TextFile = Annotated[
    Path, typer.Argument(help="What is spoken in it: one utterance a line, or see --running.")
]
AlignedFormats = Annotated[
    str, typer.Option("-f", "--formats", help="textgrid, ctm, json, srt, vtt, tsv, txt or all; with commas.")
]
Running = Annotated[
    bool,
    typer.Option("--running", help="Lines are no utterances: these end where sentences end, or in pauses."),
]
CutFolder = Annotated[
    Path | None,
    typer.Option("--cut", help="Write a corpus here: a sound for each utterance, and manifest.jsonl."),
]
MinScore = Annotated[
    float | None, typer.Option(max=0, help="Leave utterances of a lower score out of --cut, such as -4.")
]
MaxSeconds = Annotated[
    float, typer.Option(min=1, max=10_000, help="Longest utterance of --cut and of --running.")
]
OverwriteCorpus = Annotated[
    bool, typer.Option("--overwrite", help="Replace the manifest that the folder of --cut has.")
]


def align(
    model: Model,
    sound: SoundFile,
    text: TextFile,
    output: OutputFolder = None,
    formats: AlignedFormats = "textgrid",
    running: Running = False,
    cut: CutFolder = None,
    min_score: MinScore = None,
    max_seconds: MaxSeconds = 30.0,
    overwrite: OverwriteCorpus = False,
    device: RuntimeDevice = "auto",
    compute_type: ComputeType = "float32",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Find when each word of a known text is spoken in a sound, and cut it into utterances.

    Each utterance is printed on a line: its start and end in seconds, its score (0 is best), and its text.
    """
    from asr_seq2seq.runtime.session import RuntimeOptions
    from asr_seq2seq.writers import parse_formats

    wanted = parse_formats(formats)
    if output is None and formats != "textgrid":
        raise ConfigError(f"-f {formats} needs a folder for the results: name one with -o")
    if "jsonl" in wanted:
        raise ConfigError("-f jsonl: a manifest is written by --cut, which names its folder")
    if min_score is not None and cut is None:
        raise ConfigError("--min-score needs a corpus to leave utterances out of: name its folder with --cut")
    if output is None and cut is None:
        need_standard_output()
    keep_files(model, sound, text, output, wanted, cut)
    options = RuntimeOptions(compute_type, threads, device)
    with while_importing():
        from asr_seq2seq.inference import aligner

    aligned = _align(model, sound, text, options, running)
    longest = max_seconds if running or cut is not None else None
    parts = aligner.utterances(aligned, longest, running=running)
    transcript = aligned.transcript(parts)
    if output is not None:
        from asr_seq2seq.writers import write

        write(transcript, output, sound.stem, wanted)
    if cut is not None:
        _cut(aligned, parts, transcript, sound, cut, [model, text], min_score, overwrite)
    if as_json:
        print_json({"file": str(sound), **transcript.to_dict()})
    elif output is None and cut is None:
        for segment in transcript.segments:
            score = "-" if segment.score is None else f"{segment.score:.2f}"
            print_line(f"{segment.start:.3f}", f"{segment.end:.3f}", score, segment.text)


def keep_files(
    model: Path, sound: Path, text: Path, output: Path | None, formats: Sequence[str], cut: Path | None
) -> None:
    """OutputError where a result would take the place of what is read."""
    from asr_seq2seq.outputs import keep_inputs
    from asr_seq2seq.writers import path_of

    results = [] if output is None else [path_of(output, sound.stem, name) for name in formats]
    keep_inputs(
        [*results, *([] if cut is None else [cut / "manifest.jsonl"])], [bundled.find(model), sound, text]
    )


def _align(model: Path, sound: Path, text: Path, options: RuntimeOptions, running: bool) -> AlignedText:
    """Read all three, with a bar, and align."""
    from asr_seq2seq import audio
    from asr_seq2seq.corpora.lines import open_text
    from asr_seq2seq.errors import AsrError
    from asr_seq2seq.inference.aligner import align_text, check_model
    from asr_seq2seq.inference.loading import load
    from asr_seq2seq.inference.posteriors import posteriors
    from asr_seq2seq.inference.script import paragraphs, read_script
    from asr_seq2seq.progress import sound_progress

    loaded = load(model, options)
    rate = check_model(loaded)
    with open_text(text) as file:
        lines = file.read().splitlines()
    script = read_script(paragraphs(lines) if running else lines, loaded.alphabet, loaded.normalizer)
    _tell_dropped(script, text)
    if not any(word.characters for word in script.words):
        raise ConfigError(f"{text}: has no character that the model knows; give another text or model")
    with sound_progress() as progress:
        seconds = audio.expected_seconds(sound)
        bar = progress.add_task("computing", total=seconds or None, note="")
        found = posteriors(
            loaded,
            audio.blocks(sound, rate),
            rate,
            on_progress=lambda seconds: progress.advance(bar, seconds),
        )
        progress.update(bar, completed=seconds)
        second = progress.add_task("aligning", total=found.seconds, note="")
        per_frame = loaded.acoustic.seconds_per_frame / 2  # there and back
        try:
            return align_text(
                found, script, loaded, lambda frames: progress.advance(second, frames * per_frame)
            )
        except ConfigError as error:
            raise AsrError(f"{text}: {error}") from error


def _tell_dropped(script: Script, text: Path) -> None:
    """Say once which characters the model does not know."""
    if script.dropped:
        signs: Counter[str] = script.dropped
        shown = brief(" ".join(sign for sign, _ in signs.most_common(8)))
        whole = sum(not word.characters for word in script.words)
        words = f"; {whole} words have none left, and times between their neighbors" if whole else ""
        message(f"warning: {text}: {signs.total()} characters that the model does not know ({shown}){words}")


def _cut(
    aligned: AlignedText,
    parts: Sequence[tuple[int, int]],
    transcript: Transcript,
    sound: Path,
    out: Path,
    read: Sequence[Path],
    min_score: float | None,
    overwrite: bool,
) -> None:
    """Write the utterances that fit well enough, and say how many."""
    import math

    from asr_seq2seq.corpora.cutting import Cut, write_cuts
    from asr_seq2seq.inference.aligner import widened

    cuts = [
        Cut(segment.text, start, end, -math.inf if segment.score is None else segment.score)
        for segment, (start, end) in zip(transcript.segments, widened(aligned, parts, MARGIN), strict=True)
    ]
    least = -math.inf if min_score is None else min_score
    kept = [one for one in cuts if math.isfinite(one.score) and one.score >= least and one.end > one.start]
    if not kept:
        raise ConfigError(
            f"no utterance has a score of {least:g} or more: give a lower --min-score, or another text"
        )
    part = write_cuts(sound, kept, out, [bundled.find(read[0]), *read[1:]], overwrite=overwrite)
    message(
        f"{part.utterances} of {len(cuts)} utterances, {part.hours * 60:.1f} minutes, in {part.path}; "
        f"{len(cuts) - len(kept)} left out by their score"
    )
