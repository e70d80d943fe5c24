"""Which inputs `transcribe` was given, and where their transcripts go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.channels import Input, by_channel, silent_channel
from asr_seq2seq.cli.output import need_standard_output, print_json, print_line
from asr_seq2seq.cli.part import Part
from asr_seq2seq.errors import AsrError, ConfigError, OutputError, SilentAudioError
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs, keep_texts_beside

if TYPE_CHECKING:
    from asr_seq2seq.cli.manifest import ManifestWriter
    from asr_seq2seq.cli.small_vocabulary import VocabularyNote
    from asr_seq2seq.inference.recognizer import Recognizer
    from asr_seq2seq.transcript import Segment, Transcript

_LEAST_LEFT_OUT = 1.0  # second that is worth a line


@dataclass
class Results:
    """Where transcripts go, and how many of the inputs have had theirs.

    Without `output` each text is printed; `alone` is true where the only input was named as a file. The
    format jsonl is that of one file for all, `manifest`.
    """

    output: Path | None
    formats: list[str]
    attention: bool = False
    as_json: bool = False
    channel: str | None = None
    part: Part = field(default_factory=Part)
    verbose: bool = False
    quiet: bool = False
    manifest: ManifestWriter | None = None
    style: str = "plain"
    vocabulary: VocabularyNote | None = None
    alone: bool = False
    failed: int = 0
    total: int = 0
    sounds: list[str] = field(default_factory=list)
    transcripts: list[dict[str, Any]] = field(default_factory=list)
    untimed: Segment | None = None
    left_out: float = 0.0
    without_speech: bool = False

    def __post_init__(self) -> None:
        if self.style != "plain":
            from asr_seq2seq.text.written import check_style

            check_style(self.style)

    @property
    def parts(self) -> list[str]:
        """The endings of the files that each input gets."""
        return [*self.formats, "attention.npz"] if self.attention else self.formats

    @property
    def watches_segments(self) -> bool:
        """Whether something is to be told of segments as they come."""
        return self.verbose or not (self.vocabulary is None or self.vocabulary.told)

    def note(self, text: str) -> None:
        """Tell what is no error."""
        if not self.quiet:
            message(text)

    def find_inputs(
        self, files: Sequence[str], listed: Sequence[str] = (), *, recursive: bool, skip_existing: bool
    ) -> list[Input]:
        """The sounds to transcribe; of inputs that cannot be used it is told what is wrong with them."""
        if self.output is None or self.as_json:
            need_standard_output()
        from asr_seq2seq.audio.discovery import find_sounds
        from asr_seq2seq.cli.output_paths import each_once, output_stems
        from asr_seq2seq.writers import are_written

        found = find_sounds([*files, *listed], recursive=recursive)
        if self.output is not None:
            found.sounds = each_once(found.sounds)
        sounds = [sound.path for sound in found.sounds]
        if passed_over := found.passed_over_message():
            self.note(passed_over)
        if self.manifest is not None and "-" in sounds:
            raise ConfigError("-f jsonl needs files that it can name: write standard input to one first")
        alone = len(files) == 1 and not listed and (sounds == list(files) or not sounds)
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
            without = [] if self.manifest is None else self.manifest.without_lines(inputs)
            folder, parts = self.output, self.parts
            rest = [one for one in inputs if one in without or not are_written(folder, one.stem, parts)]
            self.note(f"{len(inputs) - len(rest)} of {self.total} files skipped: already in {self.output}")
            inputs = rest
        if self.manifest is not None:
            self.manifest.begin(inputs, keep=skip_existing)
        return inputs

    def keep_files(
        self, inputs: Sequence[Input], read: Sequence[str | Path | None], *, overwrite: bool
    ) -> None:
        """OutputError where results would take the place of what is read, or of texts beside the sounds.

        `read` are models, lists and phrases.
        """
        from asr_seq2seq.writers import path_of

        if self.output is None:
            return
        paths = [(one.name, [path_of(self.output, one.stem, part) for part in self.parts]) for one in inputs]
        files = [None if path is None else bundled.find(path) for path in read]
        manifest = [] if self.manifest is None else [self.manifest.path]
        keep_inputs(chain(manifest, *(results for _, results in paths)), [*files, *self.sounds])
        if not overwrite:
            keep_texts_beside(paths)
            if self.manifest is not None and not self.manifest.extends:
                keep_texts_beside((one.name, manifest) for one in inputs)

    def add(self, one: Input, result: Transcript | AsrError) -> None:
        """Write or print a transcript, or tell what is wrong with its sound."""
        try:
            if isinstance(result, SilentAudioError) and self.channel == "all":
                result = silent_channel(one, self.part)
            if isinstance(result, AsrError):
                raise result
            self.left_out += sum(end - start for start, end in result.dropped)
            self.without_speech |= bool(result.dropped) and not result.segments
            plain, result = result, result.written() if self.style == "written" else result
            self._write(one, result)
            if self.manifest is not None:
                self.manifest.add(one, plain)
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
        written = [write_attention(transcript, self.output, one.stem)] if self.attention else []
        written += write(transcript, self.output, one.stem, self.formats)
        if written and (self.verbose or self.alone):
            self.note(f"written: {', '.join(map(str, written))}")

    def watch_vocabulary(self, model: Path | None, recognizer: Recognizer) -> None:
        """Tell once where the model, of few words, is given what it cannot mean."""
        from asr_seq2seq.cli.small_vocabulary import VocabularyNote

        self.vocabulary = VocabularyNote(model, recognizer.model)

    def show(self, one: Input, segment: Segment) -> None:
        """Tell of a segment that is finished, where that is wanted, and where the model cannot mean it."""
        from asr_seq2seq.inference.subtitles import milliseconds
        from asr_seq2seq.writers import clock

        if self.verbose:
            times = " --> ".join(clock(time, ".") for time in milliseconds(segment.start, segment.end))
            self.note(f"{'' if self.alone else one.shown + ' '}[{times}] {segment.text}".rstrip())
        if self.vocabulary is not None and (text := self.vocabulary.of_segment(segment, self.part.start)):
            self.note(text)

    def finish(self) -> None:
        """Tell what was done; exit code 1 where sounds failed."""
        if self.output is not None and not self.alone:
            self.note(f"{len(self.transcripts)} of {self.total} files transcribed into {self.output}")
        if self.manifest is not None:
            self.note(self.manifest.finish())
        if self.vocabulary is not None and (text := self.vocabulary.at_end(self.without_speech)):
            self.note(text)
        if self.left_out >= _LEAST_LEFT_OUT:
            hint = "; --no-speech-threshold 1 keeps what is not silent" if self.without_speech else ""
            self.note(f"left out: {self.left_out:.1f} s without speech{hint}")
        if self.untimed is not None:
            self.note(f"words have no times ({self.untimed.timing})")
        if self.as_json:
            whole = {"files": self.transcripts, "failed": self.failed}
            print_json(self.transcripts[0] if self.alone and self.transcripts else whole)
        if self.failed:
            message(f"{self.failed} of {self.total} files could not be transcribed")
            raise typer.Exit(1)


def _is_untimed(segment: Segment) -> bool:
    return any(word.start is None for word in segment.words)
