"""A file of texts as a reader returns it: the utterances by their names, or one recording in segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from asr_seq2seq.errors import CorpusError, brief

Key = str | int | float | bool
MOST_BYTES = 1 << 30  # of one file: more than ten thousand hours of speech


@dataclass(frozen=True)
class Text:
    """The text of an utterance, and what else the file knows of it; ``sound`` is what names its sound."""

    text: str
    speaker: str | None = None
    keys: Mapping[str, Key] = field(default_factory=dict)
    duration: float | None = None
    confidences: tuple[float, ...] = ()
    sound: str | None = None


@dataclass(frozen=True)
class Texts:
    """The utterances of a file by their names.

    ``spans`` has the start and end (s) of each where the file holds one recording, cut into segments that
    another system would cut elsewhere: they are utterances only where the other file has the same ones.
    ``lines`` are utterances without names, which are called by their numbers.
    """

    by_name: Mapping[str, Text]
    spans: tuple[tuple[float, float], ...] | None = None
    lines: bool = False

    def joined(self) -> Texts:
        """The same as one utterance."""
        text = " ".join(text.text for text in self.by_name.values() if text.text)
        return Texts({"1": Text(text)}, spans=((0.0, 0.0),))


def read_file(path: Path) -> str:
    """Return the content of a text file; ``CorpusError`` where it is none."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CorpusError(
            f"cannot read {path}: {error.strerror}; check the path and its permissions"
        ) from None
    if len(content) > MOST_BYTES:
        raise CorpusError(f"{path}: is larger than 1 GB; give a file of texts, or several in turn")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; convert it, with iconv for example") from None
    if "\0" in text:
        raise CorpusError(f"{path}: is not text, it holds bytes of zero; give a file of texts")
    return text


def lines_of(path: Path, content: str) -> Iterator[tuple[str, str]]:
    r"""Lines that are neither blank nor a comment of NIST's, after the words that name their place."""
    # Not splitlines(): only \n ends a line of these forms, and texts may hold what else Unicode calls one.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip() and not line.startswith(";;"):
            yield f"{path}, line {number}", line.removesuffix("\r")


def once(path: Path, texts: Iterator[tuple[str, Text]]) -> dict[str, Text]:
    """Texts by their names; ``CorpusError`` where one is there twice."""
    found: dict[str, Text] = {}
    for name, text in texts:
        if name in found:
            raise CorpusError(
                f'{path}: the utterance "{brief(name)}" is there twice; delete or rename one of them'
            )
        found[name] = text
    return found


def by_sound(reference: Mapping[str, Text], texts: Mapping[str, Text]) -> Mapping[str, Text]:
    """``texts`` under the names that their sounds have in ``reference``, where each has one of its own.

    The same path, or the same name without folder and ending. What does not go together stays as it is.
    """
    if reference.keys() == texts.keys():
        return texts
    for name_of in (str, lambda sound: PurePath(sound).stem):
        ours, theirs = (
            {name_of(text.sound): name for name, text in side.items() if text.sound}
            for side in (reference, texts)
        )
        if len(ours) == len(reference) and len(theirs) == len(texts) and ours.keys() == theirs.keys():
            return {name: texts[theirs[sound]] for sound, name in ours.items()}
    return texts
