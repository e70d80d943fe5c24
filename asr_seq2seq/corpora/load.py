"""Which form a corpus has, and its utterances."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path

from asr_seq2seq.corpora.cutset import is_cutset, is_shar, read_cutset, read_shar
from asr_seq2seq.corpora.folder import manifests_in, read_folder
from asr_seq2seq.corpora.huggingface import is_dataset, read_dataset
from asr_seq2seq.corpora.kaldi import read_kaldi
from asr_seq2seq.corpora.manifest import read_manifest
from asr_seq2seq.corpora.table import common_voice_tables, is_table, read_table
from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import CorpusError

# Files that hold corpora in other programs -> the way out.
_ADVICE = {
    (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"): "unpack it, and name the folder",
    (".parquet", ".arrow"): "load it with `datasets`, and name the folder that save_to_disk writes",
    (".xlsx", ".xls", ".ods"): "save the sheet as .csv with a header, and name that",
    (".txt", ".lst"): "give it a header such as audio_filepath|text, and call it .csv",
}


def load_corpus(path: str | Path) -> list[Utterance]:
    """The utterances of a corpus of any form.

    A file is a JSON-lines manifest (`.jsonl`, `.json`), a lhotse CutSet (`.jsonl.gz`) or a table (`.csv`,
    `.tsv`); a folder is one of Kaldi's, a lhotse Shar, a saved Hugging Face dataset, an AudioFolder
    (`metadata.csv` or `metadata.jsonl`), one of Common Voice, or sound with text beside it.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path}: no such corpus; give a manifest, a CutSet, a table or a folder")
    utterances = list(_read_folder(path) if path.is_dir() else _read_file(path))
    if not utterances:
        raise CorpusError(f"{path}: holds no utterance; a manifest has one JSON object a line")
    return utterances


def load_corpora(paths: Iterable[str | Path]) -> list[Utterance]:
    """Several corpora as one; utterances of the same name get a number."""
    utterances = [one for path in paths for one in load_corpus(path)]
    taken = {one.id for one in utterances}
    seen: dict[str, int] = {}
    for number, one in enumerate(utterances):
        count = seen[one.id] = seen.get(one.id, 0) + 1
        if count > 1:
            while (name := f"{one.id}#{count}") in taken:
                count = seen[one.id] = count + 1
            taken.add(name)
            utterances[number] = replace(one, id=name)
    return utterances


def digest(utterances: Iterable[Utterance]) -> str:
    """The same for the same utterances and texts in the same order."""
    found = hashlib.sha256()
    for one in utterances:
        found.update(json.dumps([one.id, one.start, one.duration, one.text]).encode())
    return found.hexdigest()


def _read_file(path: Path) -> Iterable[Utterance]:
    if path.name.endswith((".jsonl", ".json", ".jsonl.gz")):
        return read_cutset(path) if is_cutset(path) else read_manifest(path)
    if path.suffix in (".csv", ".tsv"):
        return read_table(path)
    for endings, advice in _ADVICE.items():
        if path.name.lower().endswith(endings):
            raise CorpusError(f"{path}: is not a corpus that is known; {advice}")
    raise CorpusError(
        f"{path}: is not a corpus that is known; give a .jsonl manifest, a .jsonl.gz CutSet or a .csv or "
        ".tsv table"
    )


def _read_folder(path: Path) -> Iterable[Utterance]:
    if (path / "wav.scp").is_file():
        return read_kaldi(path)
    if is_shar(path):
        return read_shar(path)
    if is_dataset(path):
        return read_dataset(path)
    if (path / "metadata.jsonl").is_file():
        return read_manifest(path / "metadata.jsonl")
    if is_table(path / "metadata.csv"):
        return read_table(path / "metadata.csv")
    if (path / "clips").is_dir() and (tables := common_voice_tables(path)):
        return chain.from_iterable(map(read_table, tables))
    try:
        utterances = list(read_folder(path))
    except CorpusError:
        if below := _corpora_below(path):
            named = " or ".join(below)
            raise CorpusError(f"{path}: holds corpora in its folders; name {named}") from None
        raise
    if not utterances:
        manifest = next(iter(manifests_in(path)), path / "train.jsonl")
        raise CorpusError(f"{path}: is a folder without sound; give the manifest in it, e.g. {manifest}")
    return utterances


def _corpora_below(path: Path) -> list[str]:
    """The first few folders in a folder that are corpora of their own: parts or languages."""
    try:
        found = [str(one) for one in sorted(path.iterdir()) if one.is_dir() and _is_described(one)]
    except OSError:  # the folder of somebody else, of which the first error tells
        return []
    return found[:3]


def _is_described(folder: Path) -> bool:
    """Whether a folder says in a file which sounds it has, as AudioFolders and Common Voice do."""
    if (folder / "metadata.jsonl").is_file() or is_table(folder / "metadata.csv"):
        return True
    return (folder / "clips").is_dir() and bool(common_voice_tables(folder))
