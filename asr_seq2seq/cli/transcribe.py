"""The verb `transcribe`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.channels import Input, by_channel, silent_channel
from asr_seq2seq.cli.options import (
    AsJson,
    Backend,
    BatchSize,
    BeamSize,
    ComputeType,
    CoverageWeight,
    CtcWeight,
    Formats,
    InputChannel,
    Inputs,
    LanguageModel,
    LengthReward,
    LmWeight,
    OptionalModel,
    OutputFolder,
    Overwrite,
    Recursive,
    RuntimeDevice,
    SkipExisting,
    Temperature,
    Threads,
    Vad,
    WriteAttention,
    check_lm_weight,
)
from asr_seq2seq.cli.output import need_standard_output, print_json, print_line
from asr_seq2seq.errors import AsrError, ConfigError, OutputError, SilentAudioError
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs, keep_texts_beside
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    from asr_seq2seq.inference.recognizer import Recognizer
    from asr_seq2seq.transcript import Segment, Transcript


@dataclass
class _Results:
    """Where transcripts go, and how many of the inputs have had theirs.

    Without `output` each text is printed; `alone` is true where the only input was named as a file.
    """

    output: Path | None
    formats: list[str]
    attention: bool
    as_json: bool
    channel: str | None
    alone: bool = False
    failed: int = 0
    total: int = 0
    sounds: list[str] = field(default_factory=list)
    transcripts: list[dict[str, Any]] = field(default_factory=list)
    untimed: Segment | None = None

    @property
    def parts(self) -> list[str]:
        return [*self.formats, "attention.npz"] if self.attention else self.formats

    def find_inputs(self, files: Sequence[str], *, recursive: bool, skip_existing: bool) -> list[Input]:
        """The sounds to transcribe; of inputs that cannot be used it is told what is wrong with them."""
        from asr_seq2seq.audio.discovery import find_sounds
        from asr_seq2seq.cli.output_paths import each_once, output_stems
        from asr_seq2seq.writers import are_written

        found = find_sounds(files, recursive=recursive)
        if self.output is not None:
            found.sounds = each_once(found.sounds)
        sounds = [sound.path for sound in found.sounds]
        if passed_over := found.passed_over_message():
            message(passed_over)
        alone = len(files) == 1 and (sounds == files or not sounds)
        if alone and found.errors:
            raise found.errors[0]
        for error in found.errors:
            message(f"error: {error}")
        stems = [""] * len(sounds) if self.output is None else output_stems(found.sounds)
        inputs = by_channel(zip(sounds, stems, strict=True), self.channel)
        self.alone = alone and len(inputs) <= 1
        self.failed = len(found.errors)
        self.total = len(inputs) + self.failed
        self.sounds = sounds
        if self.output is not None and skip_existing:
            rest = [one for one in inputs if not are_written(self.output, one.stem, self.parts)]
            message(f"{len(inputs) - len(rest)} of {self.total} files skipped: already in {self.output}")
            return rest
        return inputs

    def keep_files(self, inputs: Sequence[Input], models: Sequence[Path | None], *, overwrite: bool) -> None:
        """OutputError where results would take the place of what is read, or of texts beside the sounds."""
        from asr_seq2seq.writers import path_of

        if self.output is None:
            return
        paths = [(one.name, [path_of(self.output, one.stem, part) for part in self.parts]) for one in inputs]
        read = [None if path is None else bundled.find(path) for path in models]
        keep_inputs(chain.from_iterable(results for _, results in paths), [*read, *self.sounds])
        if not overwrite:
            keep_texts_beside(paths)

    def add(self, one: Input, result: Transcript | AsrError) -> None:
        """Write or print a transcript, or tell what is wrong with its sound."""
        try:
            if isinstance(result, SilentAudioError) and self.channel == "all":
                result = silent_channel(one)
            if isinstance(result, AsrError):
                raise result
            self._write(one, result)
        except OutputError:
            raise
        except AsrError as error:
            if self.alone:
                raise
            self.failed += 1
            message(f"error: {error}")
            return
        if self.output is None and not self.as_json:
            print_line(*([] if self.alone else [one.shown]), result.text)
        self.transcripts.append({"file": one.name, **result.to_dict()})

    def _write(self, one: Input, transcript: Transcript) -> None:
        from asr_seq2seq.writers import write, write_attention

        if self.output is None:
            return
        self.untimed = self.untimed or next((s for s in transcript.segments if _is_untimed(s)), None)
        if self.attention:
            write_attention(transcript, self.output, one.stem)
        write(transcript, self.output, one.stem, self.formats)

    def finish(self) -> None:
        """Tell what was done; exit code 1 where sounds failed."""
        if self.output is not None and not self.alone:
            message(f"{len(self.transcripts)} of {self.total} files transcribed into {self.output}")
        if self.untimed is not None:
            message(f"words have no times ({self.untimed.timing})")
        if self.as_json:
            whole = {"files": self.transcripts, "failed": self.failed}
            print_json(self.transcripts[0] if self.alone and self.transcripts else whole)
        if self.failed:
            message(f"{self.failed} of {self.total} files could not be transcribed")
            raise typer.Exit(1)


def transcribe(
    files: Inputs,
    model: OptionalModel = None,
    output: OutputFolder = None,
    formats: Formats = "txt",
    recursive: Recursive = False,
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
    batch_size: BatchSize = 16,
    vad: Vad = "energy",
    attention: WriteAttention = False,
    device: RuntimeDevice = "auto",
    backend: Backend = "onnx",
    compute_type: ComputeType = "float32",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Transcribe sound files.

    The text of one file is printed alone; of several, each on a line after its name and a tab.
    """
    check_lm_weight(language_model, lm_weight)
    wanted = _formats(formats, output, skip_existing, attention)
    results = _Results(output, wanted, attention, as_json, channel)
    if output is None or as_json:
        need_standard_output()
    inputs = results.find_inputs(files, recursive=recursive, skip_existing=skip_existing)
    results.keep_files(inputs, [model, language_model], overwrite=overwrite)
    with while_importing():
        from asr_seq2seq.inference.recognizer import Recognizer

    recognizer = Recognizer.load(
        model,
        device=device,
        backend=backend,
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
        batch_size=batch_size,
        vad=vad,
        attention=attention,
    )
    _transcribe(recognizer, inputs, results)
    results.finish()


def _formats(formats: str, output: Path | None, skip_existing: bool, attention: bool) -> list[str]:
    """The formats that are named; ConfigError where they need a folder and there is none."""
    from asr_seq2seq.writers import parse_formats

    wanted = parse_formats(formats)
    if output is None and (skip_existing or attention or wanted != ["txt"]):
        flag = "--skip-existing" if skip_existing else "--attention" if attention else f"-f {formats}"
        raise ConfigError(f"{flag} needs a folder for the results: name one with -o")
    return wanted


def _transcribe(recognizer: Recognizer, inputs: Sequence[Input], results: _Results) -> None:
    with while_importing():
        from asr_seq2seq.audio import expected_seconds
        from asr_seq2seq.progress import sound_progress

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
            results.add(one, result)


def _is_untimed(segment: Segment) -> bool:
    return any(word.start is None for word in segment.words)
