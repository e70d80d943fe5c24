import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.corpora import Utterance, load_corpus
from asr_seq2seq.corpora.parts import write_manifest
from asr_seq2seq.corpora.sources import ArchiveMember
from asr_seq2seq.corpora.split import split
from asr_seq2seq.errors import ConfigError, CorpusError, OutputError
from asr_seq2seq.text.normalizer import Normalizer

app = make_app()

HELD = {"dev": 0.1, "test": 0.2}


def corpus(speakers: int, each: int = 10, texts: int = 7) -> list[Utterance]:
    """Utterances of one second; the sentences are few and spelled in several ways."""
    return [
        Utterance(
            f"{speaker}-{number}",
            ("Take it!", "take it")[number % 2] if number % texts == 0 else f"sentence {number % texts}",
            f"{speaker}.wav",
            1.0,
            float(number),
            speaker=f"s{speaker}",
        )
        for speaker in range(speakers)
        for number in range(each)
    ]


def sentence(utterance: Utterance) -> str:
    return Normalizer.named("english-v1")(utterance.text)


@pytest.mark.parametrize("seed", range(5))
def test_speakers_are_whole_and_sizes_near(seed: int) -> None:
    utterances = corpus(20)
    parts = split(utterances, HELD, seed=seed)
    assert {name: len(part) for name, part in parts.items()} == {"train": 140, "dev": 20, "test": 40}
    owners = [{one.speaker for one in part} for part in parts.values()]
    assert sum(map(len, owners)) == 20
    assert sorted(one.id for part in parts.values() for one in part) == sorted(one.id for one in utterances)
    assert split(utterances, HELD, seed=seed) == parts
    assert split(utterances[::-1], HELD, seed=seed)["test"] == parts["test"][::-1]
    assert split(utterances, HELD, seed=seed + 1) != parts


@pytest.mark.parametrize("seed", range(5))
def test_sentences_are_on_one_side(seed: int) -> None:
    parts = split(corpus(8, each=30, texts=30), HELD, by="sentence", seed=seed)
    sides = [{sentence(one) for one in part} for part in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert all(sides)


def test_a_speaker_of_most_of_the_corpus_is_not_held_out() -> None:
    utterances = [*corpus(3, each=10), *(replace(one, speaker="most") for one in corpus(20))]
    for seed in range(10):
        parts = split(utterances, {"test": 0.1}, seed=seed)
        assert {one.speaker for one in parts["test"]} != {"most"} and len(parts["test"]) <= 30


def test_without_speakers_copies_of_a_sound_stay_together() -> None:
    utterances = [replace(one, speaker=None) for one in corpus(3, each=30)]
    twice = [*utterances, *(replace(one, id=f"{one.id}#2") for one in utterances)]
    parts = split(twice, HELD)
    sides = [{(one.sound, one.start) for one in part} for part in parts.values()]
    assert sum(map(len, sides)) == len(utterances)
    assert [len(part) for part in parts.values()] == [126, 18, 36]


def test_what_cannot_be_split_is_named() -> None:
    with pytest.raises(
        CorpusError, match=r"number of speakers is 2, too few for 3 parts; .* split by sentence"
    ):
        split(corpus(2), HELD)
    assert [len(part) for part in split(corpus(3), HELD).values()] == [10, 10, 10]
    assert list(split(corpus(2), {"dev": 0.0, "test": 0.5})) == ["train", "test"]
    for fractions in ({"test": 1.0}, {"test": -0.1}, {"dev": 0.5, "test": 0.5}):
        with pytest.raises(ConfigError, match="under 1 together"):
            split(corpus(5), fractions)


def test_the_verb(tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    for speaker in ("ann", "bob", "cid"):
        for number in range(2):
            path = write_wav(tmp_path / "mine" / speaker / f"{number}.wav", 0.2, seed=number)
            path.with_suffix(".txt").write_text(f"text {number}")
    (tmp_path / "mine" / "cid" / "1.wav").write_bytes(b"no sound")
    command = ["split", str(tmp_path / "mine"), str(tmp_path / "out")]
    app([*command, "--json"], standalone_mode=False)
    printed = capsys.readouterr()
    facts = json.loads(printed.out)["manifests"]
    assert [Path(part["path"]).name for part in facts] == ["train.jsonl", "dev.jsonl", "test.jsonl"]
    assert [part["speakers"] for part in facts] == [1, 1, 1]
    assert sum(part["utterances"] for part in facts) == 5 and "1 left out" in printed.err
    found = [
        one for name in ("train", "dev", "test") for one in load_corpus(tmp_path / "out" / f"{name}.jsonl")
    ]
    assert (
        sorted((one.id, one.speaker) for one in found)
        == [(f"{speaker}/{number}", speaker) for speaker in ("ann", "bob", "cid") for number in (0, 1)][:-1]
    )
    with pytest.raises(OutputError, match=r"test.jsonl: is left from another split"):
        app([*command, "--test", "0"], standalone_mode=False)
    for name in ("dev", "test"):
        (tmp_path / "out" / f"{name}.jsonl").unlink()
    write_manifest(tmp_path / "out" / "train.jsonl", found)
    command = ["split", str(tmp_path / "out" / "train.jsonl"), str(tmp_path / "out"), "--by", "sentence"]
    with pytest.raises(OutputError, match=r"train.jsonl: is read by the same command"):
        app([*command, "--dev", "0.4", "--test", "0"], standalone_mode=False)


def test_a_written_manifest_gives_the_same_utterances(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    write_wav(tmp_path / "a.wav", 1.0)
    np.save(tmp_path / "f.npy", np.zeros((10, 3), dtype=np.float32))
    keys = {"text": "one", "duration": 0.5, "id": "u1"}
    lines = [
        {"audio_filepath": "a.wav", "offset": 0.25, "channel": 1, "speaker": "ann", "gender": "f", "take": 3},
        {"feature_filepath": "f.npy", "id": "u2"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(keys | line) for line in lines))
    utterances = load_corpus(tmp_path / "m.jsonl")
    write_manifest(tmp_path / "n.jsonl", utterances)
    assert load_corpus(tmp_path / "n.jsonl") == utterances
    embedded = replace(utterances[0], sound=ArchiveMember(str(tmp_path / "a.tar"), 512, 100))
    with pytest.raises(CorpusError, match="the sound of u1 lies inside of another file"):
        write_manifest(tmp_path / "n.jsonl", [embedded])
    assert load_corpus(tmp_path / "n.jsonl") == utterances
