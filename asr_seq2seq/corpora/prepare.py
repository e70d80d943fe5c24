"""Manifests for corpora whose layout is known: `prepare("librispeech", source, out)`.

One small function for each corpus turns its folder into the utterances of each part. The layouts are
those of the archives that the corpora are published in.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from asr_seq2seq.corpora.folder import read_folder
from asr_seq2seq.corpora.kaldi import read_kaldi
from asr_seq2seq.corpora.lines import read_lines
from asr_seq2seq.corpora.parts import Part, write_part
from asr_seq2seq.corpora.places import find_file
from asr_seq2seq.corpora.table import read_table
from asr_seq2seq.corpora.utterance import Utterance, make_utterance
from asr_seq2seq.errors import CorpusError, shown
from asr_seq2seq.extras import needed
from asr_seq2seq.files import make_folder
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.progress import Progress, count_progress

Parts = dict[str, Iterable[Utterance]]
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_AN4_DEV = 100


def prepare(corpus: str, source: Path, out: Path) -> list[Part]:
    """Write a manifest `out/PART.jsonl` for each part that `source` holds of a corpus.

    `lhotse:NAME` is any recipe of lhotse. Utterances whose sound cannot be read are left out, and each `Part`
    names them. CorpusError where the corpus is not known or the folder is not laid out as it should be;
    nothing is written then.
    """
    recipe = corpus.removeprefix("lhotse:")
    if recipe == corpus and corpus not in CORPORA:
        near = difflib.get_close_matches(corpus, CORPORA, n=1, cutoff=0.0)[0]
        raise CorpusError(
            f"there is no preparation for {shown(corpus)}; did you mean {near}? "
            f"(there are {', '.join(CORPORA)}, and lhotse:NAME for the recipes of lhotse)"
        )
    if not source.is_dir():
        raise CorpusError(f"{source}: is not a folder; unpack the corpus and give the folder that comes out")
    with count_progress() as progress:
        bar = progress.add_task("preparing", total=None)
        found = CORPORA[corpus](source) if recipe == corpus else _run_recipe(recipe, source)
        parts = {part: _counted(utterances, progress, bar) for part, utterances in found.items()}
    for part, utterances in parts.items():
        problems = [f"{one.id}: {one.problem}" for one in utterances if one.problem]
        if len(problems) == len(utterances):
            why = f"can be read, the first is {shown(problems[0], 150)}" if problems else "is there"
            raise CorpusError(f"{source}: no utterance of the part {part} {why}; unpack it again")
    make_folder(out)
    paths = {part: out / f"{part}.jsonl" for part in parts}
    keep_inputs(paths.values(), (str(one.sound) for one in chain(*parts.values())))
    return [write_part(paths[part], utterances) for part, utterances in parts.items()]


def _run_recipe(name: str, source: Path) -> Parts:
    with needed(f"the recipe {name} of lhotse", "train"):
        from asr_seq2seq.corpora.lhotse_recipe import run_recipe
    return dict(run_recipe(name, source))


def _counted(utterances: Iterable[Utterance], progress: Progress, bar: Any) -> list[Utterance]:
    kept = []
    for one in utterances:
        kept.append(one)
        progress.advance(bar)
    return kept


def _root(source: Path, needed: str, *inner: str) -> Path:
    """`source`, or the folder of a usual name in it, whichever holds what is needed."""
    for folder in (source, *(source / name for name in inner)):
        if any(folder.glob(needed)):
            return folder
    raise CorpusError(f"{source}: has no {needed} in it; give the folder that the corpus was unpacked to")


def _fsdd(source: Path) -> Parts:
    """Free Spoken Digit Dataset: recordings 0 to 4 of each digit and speaker are the test."""
    folder = _root(source, "[0-9]_*_[0-9]*.*", "recordings")
    parts: dict[str, list[tuple[str, str, int, Path]]] = {"train": [], "test": []}
    for path in folder.iterdir():
        if name := re.fullmatch(r"(\d)_(.+)_(\d+)\.(wav|flac)", path.name):
            digit, speaker, index = name[1], name[2], int(name[3])
            parts["test" if index < 5 else "train"].append((digit, speaker, index, path))
    return {
        part: (
            make_utterance(path.stem, str(path), _DIGITS[int(digit)], str(path), speaker=speaker)
            for digit, speaker, _, path in sorted(files)
        )
        for part, files in parts.items()
        if files
    }


def _an4(source: Path) -> Parts:
    """CMU AN4 (Sphere files): the official test, and training less its first 100, which are dev."""
    root = _root(source, "etc/an4_train.transcription", "an4")
    train = list(_an4_part(root, "train"))
    # A copy with fewer utterances is one to try things out on, and has none to spare.
    dev: Parts = {"dev": train[:_AN4_DEV]} if len(train) > _AN4_DEV else {}
    return {"train": train[_AN4_DEV:] if dev else train} | dev | {"test": _an4_part(root, "test")}


def _an4_part(root: Path, part: str) -> Iterator[Utterance]:
    files = list(read_lines(root / "etc" / f"an4_{part}.fileids"))
    texts = list(read_lines(root / "etc" / f"an4_{part}.transcription"))
    if len(files) != len(texts):
        raise CorpusError(
            f"{root / 'etc'}: an4_{part}.fileids has {len(files)} lines and an4_{part}.transcription "
            f"{len(texts)}; unpack the archive again"
        )
    for (_, name), (where, line) in zip(files, texts, strict=True):
        match = re.fullmatch(r"(?:<s>)?(.*?)(?:</s>)?\s*\((.+)\)", line.strip())
        path = root / "wav" / name.strip()
        if match is None or match[2] != path.name:
            raise CorpusError(f"{where}: must end in ({path.name}), as in the list of files; unpack it again")
        if not path.with_suffix(".sph").exists() and path.with_suffix(".raw").exists():
            raise CorpusError(
                f"{path}.raw: is sound without a header; fetch the archive an4_sphere instead of an4_raw"
            )
        sound = find_file(where, f"{name.strip()}.sph", root / "wav", advice="unpack the archive again")
        yield make_utterance(path.name, sound, " ".join(match[1].split()), where, speaker=path.parent.name)


def _librispeech(source: Path) -> Parts:
    """LibriSpeech, and what is laid out like it: every subset that was unpacked."""
    root = _root(source, "*/*/*/*.trans.txt", "LibriSpeech")
    subsets = sorted({path.parents[2] for path in root.glob("*/*/*/*.trans.txt")})
    return {subset.name: read_folder(subset) for subset in subsets}


def _speechocean762(source: Path) -> Parts:
    """speechocean762 (OpenSLR 101): Kaldi folders whose paths are relative to the folder above."""
    root = _root(source, "train/wav.scp", "speechocean762")
    return {part: read_kaldi(root / part, root=root) for part in ("train", "test")}


def _common_voice(source: Path) -> Parts:
    """One language of Common Voice: its official train, dev and test."""
    root = _root(source, "clips")
    tables = [path for part in ("train", "dev", "test") if (path := root / f"{part}.tsv").is_file()]
    if not tables:
        raise CorpusError(f"{source}: has no train.tsv, dev.tsv or test.tsv; give the folder of one language")
    return {path.stem: read_table(path) for path in tables}


def _ljspeech(source: Path) -> Parts:
    """LJ Speech, one part: the text with numbers and abbreviations in full."""
    root = _root(source, "metadata.csv", "LJSpeech-1.1")
    return {"all": _ljspeech_part(root)}


def _ljspeech_part(root: Path) -> Iterator[Utterance]:
    for where, line in read_lines(root / "metadata.csv"):
        fields = line.split("|")
        if len(fields) != 3:
            raise CorpusError(f"{where}: must be a name and two texts with | between; unpack it again")
        sound = find_file(where, f"{fields[0]}.wav", root / "wavs", advice="unpack the archive again")
        yield make_utterance(fields[0], sound, fields[2] or fields[1], where, speaker="LJ")


CORPORA: dict[str, Callable[[Path], Parts]] = {
    "fsdd": _fsdd,
    "an4": _an4,
    "librispeech": _librispeech,
    "speechocean762": _speechocean762,
    "common_voice": _common_voice,
    "ljspeech": _ljspeech,
}
