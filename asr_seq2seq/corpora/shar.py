"""lhotse's Shar: a folder of shards, each a list of cuts with an archive of their sound beside it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from lhotse import MonoCut, Recording

from asr_seq2seq.corpora.cutset import parsed, plain_cut, read_recording
from asr_seq2seq.corpora.embedded import in_archive
from asr_seq2seq.corpora.lines import read_lines, shown
from asr_seq2seq.errors import CorpusError

_LARGEST_DESCRIPTION = 10_000_000  # bytes


def is_shar(folder: Path) -> bool:
    """Whether a folder holds the shards that `CutSet.to_shar` writes."""
    return any(folder.glob("cuts.*.jsonl*"))


def read_shar(folder: Path) -> Iterator[MonoCut]:
    """The cuts of a Shar folder; the sound stays in its archives until an utterance is read."""
    for shard in sorted(folder.glob("cuts.*.jsonl*")):
        places, cuts = [], []
        for where, line in read_lines(shard):
            places.append(where)
            cuts.append(plain_cut(parsed(line, where), where, folder, in_shar=True))
        if all(cut.has_recording for cut in cuts):
            yield from cuts  # written without sound, these name the files that hold it
            continue
        archive = folder / f"recording.{shard.name.split('.')[1]}.tar"
        if not archive.is_file():
            raise CorpusError(f"{shard}: its sound should be in {archive.name}, which is not there; copy it")
        recordings = list(_recordings(archive))
        if [cut.id for cut in cuts] != [identity for identity, _ in recordings]:
            raise CorpusError(f"{archive}: holds other utterances than {shard.name}; make the folder anew")
        for where, cut, (_, recording) in zip(places, cuts, recordings, strict=True):
            if cut.channel not in recording.channel_ids:
                raise CorpusError(f"{where}: its sound in {archive.name} has no channel {cut.channel}")
            cut.recording = recording
            yield cut


def _recordings(archive: Path) -> Iterator[tuple[str, Recording]]:
    """The cut's id and the recording of each pair of a sound and its description in an archive."""
    size = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as tar:
            members = tar.getmembers()
            if len(members) % 2:
                raise CorpusError(f"{archive}: is damaged (a sound is not described); copy or make it again")
            for sound, about in zip(members[::2], members[1::2], strict=True):
                where = f"{archive}, {shown(about.name)}"
                for member in (sound, about):
                    whole = (
                        member.isreg() and not member.issparse() and member.offset_data + member.size <= size
                    )
                    if not whole or (member is about and member.size > _LARGEST_DESCRIPTION):
                        raise CorpusError(f"{where}: is damaged, or no plain file; copy or make it again")
                file = tar.extractfile(about)
                described = parsed(file.read() if file else b"", where)
                source = in_archive(archive, sound.offset_data, sound.size)
                yield sound.name.rpartition(".")[0], read_recording(described, where, [source])
    except (tarfile.TarError, OSError, ValueError) as error:  # ValueError: numbers in a header that are none
        raise CorpusError(f"{archive}: is damaged ({shown(str(error))}); copy or make it again") from None
