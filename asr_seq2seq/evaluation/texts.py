"""Files of references and of hypotheses, in the forms that the field uses, matched utterance by utterance.

The ending says which form a file has, or its content where the ending does not (:func:`read_texts`). What is
read wrongly is scored wrongly without a word, so a file that can be read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from asr_seq2seq.errors import CorpusError, brief
from asr_seq2seq.evaluation import lines
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.json_texts import is_json, read_json
from asr_seq2seq.evaluation.nist import read_ctm, read_stm, read_trn, words_in
from asr_seq2seq.evaluation.subtitles import TIMES, read_subtitles
from asr_seq2seq.evaluation.tables import is_header, read_table
from asr_seq2seq.evaluation.text import Text, Texts, by_sound, once, read_file

_BY_ENDING = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "table",
    ".tsv": "table",
    ".srt": "subtitles",
    ".vtt": "subtitles",
    ".trn": "trn",
    ".stm": "stm",
    ".ctm": "ctm",
}
_UNREAD = {
    *(".ass", ".ssa", ".sbv", ".sub", ".lrc", ".ttml", ".dfxp", ".xml", ".html", ".htm", ".textgrid", ".eaf"),
    *(".mlf", ".lab", ".rttm", ".pdf", ".rtf", ".docx", ".doc", ".odt", ".xlsx", ".yaml", ".yml", ".sgml"),
}
_UNREAD_STARTS = (
    *("<?xml", "<tt", "<html", "<!doctype", "[script info]", 'file type = "ootextfile"', "{\\rtf", "#!mlf!#"),
    "%pdf",
)
_OF_FOLDERS = (
    ".txt",
    ".json",
    ".srt",
    ".vtt",
    ".tsv",
)  # of several with one name the first: all are one text
_SECONDS = r"\d+(?:\.\d+)?"
_CTM = re.compile(rf"\S+\s+\S+\s+{_SECONDS}\s+\d*\.\d+\s+\S+(?:\s+{_SECONDS})?\s*")
_STM = re.compile(rf"\S+\s+\S+\s+\S+\s+{_SECONDS}\s+\d*\.\d+(?:\s.*)?")


def read_pairs(reference: Path, *hypotheses: Path, form: str | None = None) -> list[list[HypothesisLine]]:
    """Return for each file of hypotheses its utterances beside their references, in the references' order.

    ``form`` (`lines`, `kaldi` or `trn`) is how lines are read where neither ending nor content says it.
    ``CorpusError`` if a file cannot be read or a line of it understood, if it could be read in two ways, or
    if the files do not have the same utterances: nothing is passed over.
    """
    if form is not None and form not in lines.FORMS:
        raise CorpusError(f"--form must be one of {', '.join(lines.FORMS)}, not {brief(form)!r}")
    paths = (reference, *hypotheses)
    contents = [None if path.is_dir() else read_file(path) for path in paths]
    kinds = [
        "folder" if content is None else _kind(path, content)
        for path, content in zip(paths, contents, strict=True)
    ]
    if kinds[0] == "stm" and all(kind == "ctm" for kind in kinds[1:]):
        segments, of_stm = read_stm(reference, contents[0] or "")
        expected = Texts(of_stm)
        recognized = [
            Texts(words_in(segments, of_stm, path, read_ctm(path, content or "")))
            for path, content in zip(hypotheses, contents[1:], strict=True)
        ]
    else:
        expected, *recognized = _read_all(paths, contents, kinds, form)
    pairs = []
    for path, texts in zip(hypotheses, recognized, strict=True):
        ours, theirs = _same_units(reference, expected, path, texts)
        theirs = by_sound(ours, theirs)
        _check_same(reference, ours, path, theirs)
        pairs.append([_line(name, ours[name], theirs[name]) for name in ours])
    if len({tuple(line.id for line in pair) for pair in pairs}) > 1:
        raise CorpusError(
            f"{reference}: is cut in other segments than one of the others; give all in one form"
        )
    return pairs


def _kind(path: Path, content: str) -> str:
    """The form that the ending of a file tells, or its content; "lines" where neither does."""
    ending = path.suffix.lower()
    if kind := _BY_ENDING.get(ending):
        return kind
    start = content.lstrip()
    if ending in _UNREAD or start[:40].lower().startswith(_UNREAD_STARTS):
        raise CorpusError(
            f"{path}: is in a form that is not read; convert it to plain lines, Kaldi's text, a table, JSON "
            "lines, srt, vtt, trn, stm or ctm"
        )
    first = [line for line in start[:100_000].split("\n") if line.strip()]
    if start.startswith("WEBVTT") or any(map(TIMES.fullmatch, (line.rstrip() for line in first[:2]))):
        return "subtitles"
    if is_json(content):
        return "json"
    if first and is_header(first[0].rstrip("\r")):
        return "table"
    rows = [line for line in lines.plain(content) if line.strip() and not line.startswith(";;")]
    for pattern, kind in ((_CTM, "ctm"), (_STM, "stm")):
        if rows and all(map(pattern.fullmatch, rows)):
            return kind
    return "lines"


def _read_all(
    paths: Sequence[Path], contents: Sequence[str | None], kinds: Sequence[str], form: str | None
) -> list[Texts]:
    """The texts of all files; how lines are read is decided by all of them."""
    found: list[Texts | None] = []
    for number, (path, content, kind) in enumerate(zip(paths, contents, kinds, strict=True)):
        found.append(None if kind == "lines" else _read(path, content or "", kind, of_references=not number))
    names: list[Set[str]] = [
        set(lines.first_words(content or "")) if texts is None else texts.by_name.keys()
        for texts, content in zip(found, contents, strict=True)
    ]
    for number, (path, content) in enumerate(zip(paths, contents, strict=True)):
        if found[number] is None:
            others = names[:number] + names[number + 1 :]
            kind = form or lines.form_of(path, content or "", others)
            found[number] = _read(path, content or "", f"{kind} form", of_references=not number)
    return [texts for texts in found if texts is not None]


def _read(path: Path, content: str, kind: str, *, of_references: bool) -> Texts:
    match kind:
        case "json":
            texts = read_json(path, content, of_references=of_references)
        case "table":
            texts = read_table(path, content, of_references=of_references)
        case "subtitles":
            texts = read_subtitles(path, content)
        case "trn" | "trn form":
            texts = Texts(once(path, read_trn(path, content)))
        case "stm":
            texts = Texts(read_stm(path, content)[1])
        case "ctm":
            words = read_ctm(path, content)
            texts = Texts({" ".join(place): Text(" ".join(w.text for w in words[place])) for place in words})
        case "folder":
            texts = _read_folder(path, of_references=of_references)
        case "kaldi form":
            texts = lines.read_kaldi(path, content)
        case _:
            texts = lines.read_lines(content)
    if not texts.by_name:
        raise CorpusError(f"{path}: holds no utterance; give a file with one a line")
    return texts


def _read_folder(folder: Path, *, of_references: bool) -> Texts:
    """A text for each name in a folder, and in the folders in it, as `transcribe -o` leaves them."""
    chosen: dict[str, Path] = {}
    for path in sorted(
        folder.rglob("*"), key=lambda path: (path.suffix.lower() not in _OF_FOLDERS, str(path))
    ):
        ending = path.suffix.lower()
        if ending not in _OF_FOLDERS or not path.is_file():
            continue
        name = str(path.relative_to(folder).with_suffix(""))
        before = chosen.get(name)
        if before is None or _OF_FOLDERS.index(ending) < _OF_FOLDERS.index(before.suffix.lower()):
            chosen[name] = path
    found = {}
    for name, path in chosen.items():
        content = read_file(path)
        kind = _kind(path, content)
        whole = Texts({}) if not content.strip() else _read(path, content, kind, of_references=of_references)
        if not whole.lines and whole.spans is None and len(whole.by_name) > 1:
            raise CorpusError(f"{path}: holds texts of many utterances; in a folder each file is one text")
        found[name] = Text(whole.joined().by_name["1"].text, sound=name)
    return Texts(found)


def _same_units(
    reference: Path, expected: Texts, path: Path, recognized: Texts
) -> tuple[Mapping[str, Text], Mapping[str, Text]]:
    """Utterances of both: of recordings that are cut differently the whole text."""
    recordings = [texts.spans is not None for texts in (expected, recognized)]
    if not any(recordings) or expected.spans == recognized.spans:
        return expected.by_name, recognized.by_name
    for file, texts in ((reference, expected), (path, recognized)):
        if texts.spans is None and not texts.lines and len(texts.by_name) > 1:
            other = path if file is reference else reference
            raise CorpusError(
                f"{file}: has {len(texts.by_name):,} utterances, but {other} is one recording in segments; "
                "give the text of that recording"
            )
    return expected.joined().by_name, recognized.joined().by_name


def _line(name: str, expected: Text, recognized: Text) -> HypothesisLine:
    return HypothesisLine(
        name,
        expected.text,
        recognized.text,
        duration=expected.duration or recognized.duration,
        speaker=expected.speaker or recognized.speaker,
        confidences=recognized.confidences,
        keys={**recognized.keys, **expected.keys},
    )


def _check_same(
    reference: Path, expected: Mapping[str, Text], path: Path, recognized: Mapping[str, Text]
) -> None:
    for one, other, few, many in (
        (reference, path, expected, recognized),
        (path, reference, recognized, expected),
    ):
        missing = [name for name in many if name not in few]
        if missing:
            count = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
            raise CorpusError(
                f'{one}: the utterance "{brief(missing[0])}"{count} of {other} is not there; both files must '
                "hold the same utterances, where nothing was recognized with an empty text"
            )
