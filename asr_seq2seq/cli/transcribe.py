"""The verb `transcribe`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.options import (
    AsJson,
    BeamSize,
    ComputeType,
    CoverageWeight,
    CtcWeight,
    LanguageModel,
    LengthReward,
    LmWeight,
    RuntimeDevice,
    Temperature,
    Threads,
    check_lm_weight,
)
from asr_seq2seq.cli.output import need_standard_output, print_json, print_line
from asr_seq2seq.errors import AsrError, ConfigError, OutputError, SilentAudioError
from asr_seq2seq.garbage import importing
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs, keep_texts_beside

if TYPE_CHECKING:
    from asr_seq2seq.transcript import Segment


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(help="Sound files, folders of them, quoted patterns; - is standard input."),
    ],
    model: Annotated[
        Path | None, typer.Option(help="Model file, or the name of a bundled one; digits without it.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the results.")] = None,
    formats: Annotated[
        str, typer.Option("-f", "--formats", help="txt, srt, vtt, tsv, json, ctm or all, with commas.")
    ] = "txt",
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Search the folders in folders too.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Pass over inputs whose results are all in -o already.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results beside their sounds too, where -o has these.")
    ] = False,
    channel: Annotated[
        str | None,
        typer.Option("--channel", help="Transcribe this channel, counted from 1, or all: each alone."),
    ] = None,
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    language_model: LanguageModel = None,
    lm_weight: LmWeight = None,
    coverage_weight: CoverageWeight = None,
    length_reward: LengthReward = None,
    temperature: Temperature = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pieces decoded together.")] = None,
    vad: Annotated[
        str, typer.Option(help="How pauses are found in long sound: energy or silero.")
    ] = "energy",
    attention: Annotated[
        bool, typer.Option("--attention", help="Also write where the decoder looked: NAME.attention.npz.")
    ] = False,
    device: RuntimeDevice = "auto",
    compute_type: ComputeType = "float32",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Write down what is said in sound files.

    The text of one file is printed alone; of several, each on a line after its name and a tab.
    """
    from asr_seq2seq.audio.discovery import find_sounds
    from asr_seq2seq.cli.channels import by_channel, silent_channel
    from asr_seq2seq.cli.output_paths import each_once, output_stems
    from asr_seq2seq.writers import are_written, parse_formats, path_of, write, write_attention

    check_lm_weight(language_model, lm_weight)
    wanted = parse_formats(formats)
    if output is None and (skip_existing or attention or wanted != ["txt"]):
        flag = "--skip-existing" if skip_existing else "--attention" if attention else f"-f {formats}"
        raise ConfigError(f"{flag} needs a folder for the results: name one with -o")
    if output is None or as_json:
        need_standard_output()
    found = find_sounds(files, recursive=recursive)
    if output is not None:
        found.sounds = each_once(found.sounds)
    sounds, unmatched = [sound.path for sound in found.sounds], found.errors
    if passed_over := found.passed_over_message():
        message(passed_over)
    alone = len(files) == 1 and (sounds == files or not sounds)
    if alone and unmatched:
        raise unmatched[0]
    for error in unmatched:
        message(f"error: {error}")
    stems = [""] * len(sounds) if output is None else output_stems(found.sounds)
    inputs = by_channel(zip(sounds, stems, strict=True), channel)
    alone = alone and len(inputs) <= 1
    count, failed = len(inputs), len(unmatched)
    total = count + failed
    parts = [*wanted, "attention.npz"] if attention else wanted
    if output is not None and skip_existing:
        inputs = [one for one in inputs if not are_written(output, one.stem, parts)]
        message(f"{count - len(inputs)} of {total} files skipped: already in {output}")
    if output is not None:
        paths = [(one.name, [path_of(output, one.stem, part) for part in parts]) for one in inputs]
        models = [None if path is None else bundled.find(path) for path in (model, language_model)]
        keep_inputs(chain.from_iterable(results for _, results in paths), [*models, *sounds])
        if not overwrite:
            keep_texts_beside(paths)

    with importing():
        from asr_seq2seq.audio import expected_seconds
        from asr_seq2seq.inference.recognizer import BATCH_SIZE, Recognizer
        from asr_seq2seq.progress import sound_progress

    recognizer = Recognizer.load(
        model,
        device=device,
        compute_type=compute_type,
        threads=threads,
        decoding={
            "beam_size": beam_size,
            "ctc_weight": ctc_weight,
            "lm_weight": lm_weight,
            "coverage_weight": coverage_weight,
            "length_reward": length_reward,
            "temperature": temperature,
        },
        language_model=language_model,
        batch_size=batch_size or BATCH_SIZE,
        vad=vad,
        attention=attention,
    )
    results = []
    untimed = None
    with sound_progress() as progress:
        seconds = 0.0 if progress.disable else sum(expected_seconds(one.source) for one in inputs)
        bar = progress.add_task("transcribing", total=seconds or None, note=f"0/{len(inputs)} files")
        transcripts = recognizer.transcribe_each(
            [one.source for one in inputs],
            channels=[one.channel for one in inputs],
            on_progress=lambda seconds: progress.advance(bar, seconds),
        )
        for done, (one, result) in enumerate(zip(inputs, transcripts, strict=True), start=1):
            progress.update(bar, note=f"{done}/{len(inputs)} files")
            try:
                if isinstance(result, SilentAudioError) and channel == "all":
                    result = silent_channel(one)
                if isinstance(result, AsrError):
                    raise result
                if output is not None:
                    untimed = untimed or next((s for s in result.segments if _is_untimed(s)), None)
                    if attention:
                        write_attention(result, output, one.stem)
                    write(result, output, one.stem, wanted)
            except OutputError:
                raise
            except AsrError as error:
                if alone:
                    raise
                failed += 1
                message(f"error: {error}")
                continue
            if output is None and not as_json:
                print_line(*([] if alone else [one.shown]), result.text)
            results.append({"file": one.name, **result.to_dict()})
    if output is not None and not alone:
        message(f"{len(results)} of {total} files transcribed into {output}")
    if untimed is not None:
        message(f"words have no times ({untimed.timing})")
    if as_json:
        print_json(results[0] if alone and results else {"files": results, "failed": failed})
    if failed:
        message(f"{failed} of {total} files could not be transcribed")
        raise typer.Exit(1)


def _is_untimed(segment: Segment) -> bool:
    return any(word.start is None for word in segment.words)
