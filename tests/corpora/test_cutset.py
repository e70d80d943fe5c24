"""Shar folders; CutSets in files are tested beside manifests."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lhotse import CutSet, Recording, SupervisionSegment

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.errors import CorpusError


@pytest.fixture
def shar(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """A Shar folder of three utterances in two shards."""
    cuts = []
    for name in "abc":
        cut = Recording.from_file(write_wav(tmp_path / f"{name}.wav", 0.5)).to_cut()
        cut.supervisions = [SupervisionSegment(name, name, 0.0, 0.5, text=name)]
        cuts.append(cut)
    folder = tmp_path / "shar"
    folder.mkdir()
    CutSet.from_cuts(cuts).to_shar(folder, fields={"recording": "wav"}, shard_size=2)
    return folder


def test_a_part_of_a_cut_gives_its_samples(shar: Path) -> None:
    cut = load_corpus(shar)[2]
    assert cut.id == "c"
    part = replace(cut, start=0.25, duration=0.125)
    assert len(read_sound(part, 16000)) == 2000
    assert (read_sound(cut, 16000)[4000:6000] == read_sound(part, 16000)).all()


def test_a_missing_archive_is_named(shar: Path) -> None:
    (shar / "recording.000001.tar").unlink()
    with pytest.raises(CorpusError, match=r"cuts.000001.jsonl.gz: its sound should be in recording.000001"):
        load_corpus(shar)


def test_an_archive_of_another_shard_is_named(shar: Path) -> None:
    (shar / "recording.000000.tar").replace(shar / "recording.000001.tar")
    (shar / "recording.000000.tar").write_bytes((shar / "recording.000001.tar").read_bytes())
    with pytest.raises(CorpusError, match=r"recording.000001.tar: holds other utterances than cuts.000001"):
        load_corpus(shar)


@pytest.mark.parametrize("size", [0, 700, 20_000])
def test_a_damaged_archive_is_named(shar: Path, size: int) -> None:
    content = (shar / "recording.000000.tar").read_bytes()
    (shar / "recording.000000.tar").write_bytes(content[:size])
    with pytest.raises(CorpusError, match=r"recording.000000.tar: ") as caught:
        load_corpus(shar)
    assert "\n" not in str(caught.value)


def test_a_damaged_list_of_cuts_is_named(shar: Path) -> None:
    (shar / "cuts.000000.jsonl.gz").write_bytes(gzip.compress(b"{broken"))
    with pytest.raises(CorpusError, match=r"cuts.000000.jsonl.gz, line 1: cannot be read as a lhotse CutSet"):
        load_corpus(shar)
