"""Which form a corpus has, and its utterances as one CutSet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lhotse import CutSet, MonoCut

from asr_seq2seq.corpora.manifest import read_manifest
from asr_seq2seq.errors import CorpusError


def load_corpus(path: str | Path) -> CutSet:
    """A JSON-lines manifest (`.jsonl`, `.json`) or a lhotse CutSet (`.jsonl.gz`) as a CutSet."""
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path}: no such corpus; give a JSON-lines manifest or a CutSet")
    if path.is_dir():
        raise CorpusError(f"{path}: is a folder; give the manifest in it, e.g. {path / 'train.jsonl'}")
    if path.name.endswith(".jsonl.gz"):
        cuts = _read_cutset(path)
    elif path.suffix in (".jsonl", ".json"):
        cuts = CutSet.from_cuts(read_manifest(path))
    else:
        raise CorpusError(
            f"{path}: is not a corpus that is known; give a .jsonl manifest or a .jsonl.gz CutSet"
        )
    if not len(cuts):
        raise CorpusError(f"{path}: holds no utterance; a manifest has one JSON object a line")
    return cuts


def load_corpora(paths: Iterable[str | Path]) -> CutSet:
    """Several corpora as one; utterances of the same name are told apart by a number."""
    cuts = [cut for path in paths for cut in load_corpus(path)]
    taken = {cut.id for cut in cuts}
    seen: dict[str, int] = {}
    for number, cut in enumerate(cuts):
        count = seen[cut.id] = seen.get(cut.id, 0) + 1
        if count > 1:
            while (name := f"{cut.id}#{count}") in taken:
                count = seen[cut.id] = count + 1
            taken.add(name)
            cuts[number] = cut.with_id(name)
    return CutSet.from_cuts(cuts)


def _read_cutset(path: Path) -> CutSet:
    try:
        cuts = CutSet.from_file(path).to_eager()
    except Exception as error:  # lhotse raises whatever its readers meet: gzip, JSON, missing fields
        reason = " ".join(str(error).split())[:200]
        raise CorpusError(f"{path}: cannot be read as a lhotse CutSet ({reason}); make it anew") from None
    for cut in cuts:
        if not isinstance(cut, MonoCut):
            raise CorpusError(
                f"{path}: the cut {cut.id} is mixed, padded or of several channels; save plain cuts"
            )
        if not cut.has_recording:
            raise CorpusError(f"{path}: the cut {cut.id} has no recording, and features alone cannot be used")
        if len(cut.supervisions) != 1 or cut.supervisions[0].text is None:
            raise CorpusError(
                f"{path}: the cut {cut.id} must hold exactly one supervision with text; "
                "`cuts.trim_to_supervisions()` makes it so"
            )
    return cuts
