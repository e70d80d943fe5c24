"""The verb `transcribe`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_seq2seq.cli.channels import Input
from asr_seq2seq.cli.options import (
    AsJson,
    Backend,
    BatchSize,
    BeamSize,
    ComputeType,
    CoverageWeight,
    CtcWeight,
    End,
    Formats,
    Hotwords,
    InputChannel,
    Inputs,
    LanguageModel,
    LengthReward,
    ListFile,
    LmWeight,
    MinConfidence,
    NoSpeechThreshold,
    NullEnds,
    OptionalModel,
    OutputFolder,
    Overwrite,
    PhraseList,
    Quiet,
    Ray,
    Recursive,
    RuntimeDevice,
    SkipExisting,
    Start,
    Style,
    Temperature,
    Threads,
    Vad,
    Verbose,
    WriteAttention,
    check_lm_weight,
    expected,
)
from asr_seq2seq.cli.part import parse_part
from asr_seq2seq.cli.results import Results
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    from asr_seq2seq.cli.manifest import ManifestWriter
    from asr_seq2seq.inference.recognizer import Recognizer
    from asr_seq2seq.transcript import Segment


def transcribe(
    files: Inputs = None,
    model: OptionalModel = None,
    output: OutputFolder = None,
    formats: Formats = "txt",
    recursive: Recursive = False,
    list_file: ListFile = None,
    null: NullEnds = False,
    start: Start = None,
    end: End = None,
    min_confidence: MinConfidence = None,
    skip_existing: SkipExisting = False,
    overwrite: Overwrite = False,
    channel: InputChannel = None,
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    language_model: LanguageModel = None,
    lm_weight: LmWeight = None,
    coverage_weight: CoverageWeight = None,
    length_reward: LengthReward = None,
    temperature: Temperature = None,
    hotwords: Hotwords = None,
    phrases: PhraseList = None,
    batch_size: BatchSize = 16,
    vad: Vad = "energy",
    no_speech_threshold: NoSpeechThreshold = None,
    attention: WriteAttention = False,
    device: RuntimeDevice = "auto",
    backend: Backend = "onnx",
    compute_type: ComputeType = "float32",
    threads: Threads = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
    style: Style = "plain",
    ray: Ray = None,
) -> None:
    """Transcribe sound files.

    The text of one file is printed alone; of several, each on a line after its name and a tab.
    """
    check_lm_weight(language_model, lm_weight)
    decoding = expected(hotwords, phrases) | {"beam_size": beam_size, "ctc_weight": ctc_weight}
    decoding |= {"lm_weight": lm_weight, "coverage_weight": coverage_weight, "length_reward": length_reward}
    decoding |= {"temperature": temperature, "no_speech_threshold": no_speech_threshold}
    load = partial(_load, model, device=device, backend=backend, compute_type=compute_type, threads=threads)
    load = partial(load, language_model=language_model, batch_size=batch_size, vad=vad, decoding=decoding)
    load, models = partial(load, attention=attention), [model, language_model]
    if ray is not None:
        from asr_seq2seq.cli.archive import ArchiveRequest, transcribe_archive

        given = (null, start, end, channel, min_confidence, attention, as_json, style != "plain")
        request = ArchiveRequest(ray, output, formats, files or [], list_file, recursive, threads, given)
        return transcribe_archive(request, load, models, decoding | {"vad": vad, "compute": compute_type})
    part, listed = parse_part(start, end), _listed(files, list_file, null)
    wanted, manifest = _formats(formats, output, skip_existing, attention, min_confidence)
    results = Results(output, wanted, attention, as_json, channel, part, verbose, quiet, manifest, style)
    inputs = results.find_inputs(files or [], listed, recursive=recursive, skip_existing=skip_existing)
    results.keep_files(inputs, [*models, list_file, phrases], overwrite=overwrite)
    _transcribe(load, model, inputs, results)


def _load(model: Path | None, **options: Any) -> Recognizer:
    with while_importing():
        from asr_seq2seq.inference.recognizer import Recognizer

    return Recognizer.load(model, **options)


def _listed(files: Sequence[str] | None, list_file: str | None, null: bool) -> list[str]:
    """The names in `--list`; ConfigError where nothing is named at all."""
    if list_file is not None:
        from asr_seq2seq.cli.lists import listed_names

        return listed_names(list_file, null=null)
    if null:
        raise ConfigError("-0 says how the names in a list end: name the list with --list")
    if not files:
        raise ConfigError("no sound is named: name files or folders, or a list of them with --list")
    return []


def _formats(
    formats: str, output: Path | None, skip_existing: bool, attention: bool, min_confidence: float | None
) -> tuple[list[str], ManifestWriter | None]:
    """The formats of a file for each sound, and what writes the manifest where that is wanted.

    ConfigError where they need a folder and there is none.
    """
    from asr_seq2seq.writers import MANIFEST, parse_formats

    wanted = parse_formats(formats)
    if min_confidence is not None and MANIFEST not in wanted:
        raise ConfigError("--min-confidence chooses segments for a manifest: write one with -f jsonl")
    if output is None and (skip_existing or attention or wanted != ["txt"]):
        flag = "--skip-existing" if skip_existing else "--attention" if attention else f"-f {formats}"
        raise ConfigError(f"{flag} needs a folder for the results: name one with -o")
    if output is None or MANIFEST not in wanted:
        return wanted, None
    with while_importing():
        from asr_seq2seq.cli.manifest import ManifestWriter

    return [name for name in wanted if name != MANIFEST], ManifestWriter(output, min_confidence)


def _transcribe(
    load: Callable[[], Recognizer], model: Path | None, inputs: Sequence[Input], results: Results
) -> None:
    recognizer = load()
    results.watch_vocabulary(model, recognizer)
    with while_importing():
        from asr_seq2seq.audio import expected_seconds
        from asr_seq2seq.progress import sound_progress

    def show(number: int, segment: Segment) -> None:
        results.show(inputs[number], segment)

    part = results.part
    with sound_progress(shown=not results.quiet) as progress:
        lengths = [] if progress.disable else [expected_seconds(one.source) for one in inputs]
        seconds = sum(map(part.seconds, lengths))
        bar = progress.add_task("transcribing", total=seconds or None, note=f"0/{len(inputs)} files")
        transcripts = recognizer.transcribe_each(
            [one.source for one in inputs],
            channels=[one.channel for one in inputs],
            start=part.start,
            end=part.end,
            on_progress=None if progress.disable else lambda seconds: progress.advance(bar, seconds),
            on_segment=show if results.watches_segments else None,
        )
        for done, (one, result) in enumerate(zip(inputs, transcripts, strict=True), start=1):
            progress.update(bar, note=f"{done}/{len(inputs)} files")
            results.add(one, result)
    results.finish()
