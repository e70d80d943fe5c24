"""Any corpus that lhotse has a recipe for: its recordings and supervisions as cuts of one utterance."""

from __future__ import annotations

import contextlib
import difflib
import gzip
import inspect
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lhotse import CutSet, MonoCut, RecordingSet, SupervisionSet

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.files import atomic_write
from asr_seq2seq.scoring.hypotheses import to_json


def run_recipe(name: str, source: Path) -> dict[str, list[MonoCut]]:
    """The parts of a corpus that `lhotse.recipes.prepare_NAME` finds in `source`.

    Utterances without text are left out. CorpusError for a name that is unknown, a recipe that needs more
    than a folder, and whatever goes wrong in it.
    """
    from lhotse import recipes

    names = [known.removeprefix("prepare_") for known in dir(recipes) if known.startswith("prepare_")]
    if name not in names:
        near = ", ".join(difflib.get_close_matches(name, names, n=3, cutoff=0.0))
        raise CorpusError(f"lhotse has no recipe {name}; near it are {near}")
    recipe = getattr(recipes, f"prepare_{name}")
    parameters = inspect.signature(recipe).parameters.values()
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    with tempfile.TemporaryDirectory(prefix="asr_seq2seq_") as scratch:
        # Recipes that insist on writing their own manifests may do so where they are thrown away.
        settings = {"output_dir": Path(scratch)} if "output_dir" in needed else {}
        if len(others := [key for key in needed if key not in settings]) != 1:
            raise CorpusError(
                f"lhotse's recipe {name} needs {' and '.join(others) or 'more than one folder'}; call "
                f"lhotse.recipes.prepare_{name} in Python and save a CutSet"
            )
        try:
            with contextlib.redirect_stdout(sys.stderr):
                found = dict(_parts(recipe(source.resolve(), **settings)))
        except Exception as error:  # a recipe raises whatever it meets, often an assertion
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise CorpusError(f"{source}: lhotse's recipe {name} cannot read it ({reason})") from None
    if not found:
        raise CorpusError(f"{source}: lhotse's recipe {name} finds nothing with text in it; check the folder")
    return found


def write_cutset(path: Path, cuts: Iterable[MonoCut]) -> None:
    """Write cuts as a lhotse CutSet (`.jsonl.gz`), all or nothing."""
    with atomic_write(path, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        for cut in cuts:
            packed.write((to_json(cut.to_dict(), allow_nan=True) + "\n").encode())


def _parts(found: Any, name: str = "") -> Iterator[tuple[str, list[MonoCut]]]:
    """Each pair of recordings and supervisions in what a recipe returns, however deep it is in dicts."""
    if isinstance(found, tuple):
        found = dict(zip(("recordings", "supervisions"), found, strict=False))
    if not isinstance(found, dict):
        return
    recordings, supervisions = found.get("recordings"), found.get("supervisions")
    if isinstance(recordings, RecordingSet) and isinstance(supervisions, SupervisionSet):
        spoken = supervisions.filter(lambda supervision: bool(supervision.text)).to_eager()
        cuts = CutSet.from_manifests(recordings=recordings, supervisions=spoken)
        yield name or "all", _alone(cuts)
        return
    for key, value in found.items():
        yield from _parts(value, f"{name}-{key}" if name else str(key))


def _alone(cuts: CutSet) -> list[MonoCut]:
    """Each supervision as a cut of its own, without the others that overlap it, and of one channel."""
    alone = []
    for cut in cuts.trim_to_supervisions(keep_overlapping=False):
        if not isinstance(cut, MonoCut):
            raise CorpusError(f"the utterance {cut.id} has several channels; mix them before preparing")
        alone.append(cut)
    return alone
