"""lhotse's own forms: a CutSet (`.jsonl.gz`), and a Shar folder with the sound in it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from lhotse import CutSet, MonoCut, Recording
from lhotse.cut import Cut

from asr_seq2seq.corpora.embedded import in_archive
from asr_seq2seq.errors import CorpusError


def read_cutset(path: Path) -> list[MonoCut]:
    """The cuts of a CutSet; CorpusError names the first that is not one plain utterance."""
    try:
        cuts = list(CutSet.from_file(path))
    except Exception as error:  # lhotse raises whatever its readers meet: gzip, JSON, missing fields
        reason = " ".join(str(error).split())[:200]
        raise CorpusError(f"{path}: cannot be read as a lhotse CutSet ({reason}); make it anew") from None
    for cut in cuts:
        _check(path, cut)
    return cuts


def is_shar(folder: Path) -> bool:
    """Whether a folder holds the shards that `CutSet.to_shar` writes."""
    return any(folder.glob("cuts.*.jsonl*"))


def read_shar(folder: Path) -> Iterator[MonoCut]:
    """The cuts of a Shar folder; the sound stays in its archives until an utterance is read."""
    for shard in sorted(folder.glob("cuts.*.jsonl*")):
        cuts = read_cutset(shard)
        if all(source.type != "shar" for cut in cuts for source in cut.recording.sources):
            yield from cuts  # written without sound, these name the files that hold it
            continue
        archive = folder / f"recording.{shard.name.split('.')[1]}.tar"
        if not archive.exists():
            raise CorpusError(f"{shard}: its sound should be in {archive.name}, which is not there; copy it")
        try:
            recordings = list(_recordings(archive))
        except (tarfile.TarError, ValueError, KeyError, TypeError, OSError) as error:
            raise CorpusError(f"{archive}: is damaged ({error}); copy or make it again") from None
        if [cut.id for cut in cuts] != [identity for identity, _ in recordings]:
            raise CorpusError(f"{archive}: holds other utterances than {shard.name}; make the folder anew")
        for cut, (_, recording) in zip(cuts, recordings, strict=True):
            cut.recording = recording
            yield cut


def _recordings(archive: Path) -> Iterator[tuple[str, Recording]]:
    """The cut's id and the recording of each pair of a sound and its description in an archive."""
    with tarfile.open(archive, "r:") as tar:
        members = tar.getmembers()
        for sound, about in zip(members[::2], members[1::2], strict=True):
            file = tar.extractfile(about)
            recording = Recording.from_dict(json.loads(file.read() if file else b""))
            [channel] = recording.sources[0].channels
            recording.sources = [in_archive(archive, sound.offset_data, sound.size)]
            recording.channel_ids, recording.sources[0].channels = [channel], [channel]
            yield sound.name.rpartition(".")[0], recording


def _check(path: Path, cut: Cut) -> None:
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
