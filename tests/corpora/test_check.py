import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_seq2seq.corpora.check import inspect_corpora

Write = Callable[..., Path]
RATE = 16000


@pytest.fixture
def corpus(tmp_path: Path) -> Write:
    """Write a manifest of sounds; each is given by its samples and the other keys of its line."""

    def write(*entries: tuple[Any, dict[str, Any]], name: str = "m.jsonl") -> Path:
        lines = []
        for number, (samples, keys) in enumerate(entries):
            rate = keys.get("rate", RATE)
            path = tmp_path / f"{Path(name).stem}{number}.wav"
            soundfile.write(path, samples, rate, subtype="FLOAT")
            entry = {"id": f"u{number}", "audio_filepath": path.name, "text": "one two", "speaker": "ann"}
            lines.append(json.dumps(entry | {"duration": len(samples) / rate} | keys))
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    return write


def noise(seconds: float = 1.0, *, seed: int = 0, rate: int = RATE) -> Any:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return samples.astype(np.float32)


def suspicions(path: Path, *, quick: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = inspect_corpora([path], quick=quick)["suspicious"]
    return found


def test_facts(corpus: Write) -> None:
    facts = inspect_corpora([corpus((noise(), {}), (noise(3.0, seed=1), {"text": "six", "speaker": "bob"}))])
    assert facts == {
        "kind": "corpus",
        "utterances": 2,
        "hours": 0.001,
        "speakers": 2,
        "seconds": {"0 %": 1.0, "5 %": 1.1, "50 %": 2.0, "95 %": 2.9, "100 %": 3.0},
        "characters_per_text": {"0 %": 3.0, "5 %": 3.2, "50 %": 5.0, "95 %": 6.8, "100 %": 7.0},
        "words": 3,
        "characters": {"o": 2, "n": 1, "e": 1, " ": 1, "t": 1, "w": 1, "s": 1, "i": 1, "x": 1},
        "sample_rates": {RATE: 2},
        "suspicious": {},
    }
    json.dumps(facts)


CLIPPED = np.clip(20 * noise(seed=3), -1, 1)
LATE = np.concatenate([noise(seed=4), np.zeros(RATE, dtype=np.float32)])


@pytest.mark.parametrize(
    ("samples", "keys", "name", "example"),
    [
        (noise(seed=1), {"text": " \n"}, "empty text", "u1"),
        (noise(0.2), {"text": "too"}, None, None),
        (noise(0.12), {"text": "too"}, "too much text for CTC at 40 ms a frame", "u1"),
        (noise(0.15), {"text": "seven"}, "too much text for CTC at 40 ms a frame", "u1"),
        (noise(6.0), {"text": "eleven char"}, "under 2 characters a second in over 5 s", "u1"),
        (noise(6.0), {"text": "twelve chars"}, None, None),
        (noise(4.0), {"text": "hm"}, None, None),
        (np.zeros(RATE), {}, "silent (peak under -60 dB)", "u1"),
        (0.001 * noise(seed=2), {}, "silent (peak under -60 dB)", "u1"),
        (CLIPPED, {}, "clipped (over 0.1% of samples at full scale)", "u1"),
        (noise(seed=5), {"duration": 1.2}, "over 0.1 s shorter than its duration", "u1"),
        (noise(seed=5), {"duration": 1.05}, None, None),
        (noise(seed=6), {"rate": 8000}, "another sample rate than most", "u1: 8000 Hz"),
        (noise(), {}, "the same sound as another", "u1: u0"),
        (LATE, {"offset": 1.0, "duration": 1.0}, "silent (peak under -60 dB)", "u1"),
    ],
)
def test_what_is_suspicious(
    corpus: Write, samples: Any, keys: dict[str, Any], name: str | None, example: str | None
) -> None:
    path = corpus((noise(), {}), (samples, keys), (noise(seed=9), {}))
    expected = {name: {"count": 1, "first": [example]}} if name else {}
    assert suspicions(path) == expected
    if name and "text" not in name and "characters" not in name:
        assert suspicions(path, quick=True) == {}
    else:
        assert suspicions(path, quick=True) == expected


def test_what_cannot_be_read_is_told_with_the_reason(corpus: Write, tmp_path: Path) -> None:
    path = corpus((noise(), {}), (noise(seed=1), {}))
    (tmp_path / "m1.wav").write_bytes(b"no sound")
    found = suspicions(path)["cannot be read"]
    assert found["count"] == 1
    assert found["first"][0].startswith("u1: ")
    assert "m1.wav" in found["first"][0]
    assert suspicions(path, quick=True) == {}


def test_the_most_frequent_comes_first_with_a_few_examples(corpus: Write) -> None:
    path = corpus(*((noise(seed=n), {"text": "" if n else "yes " * 20}) for n in range(8)))
    found = suspicions(path, quick=True)
    assert list(found) == ["empty text", "too much text for CTC at 40 ms a frame"]
    assert found["empty text"] == {"count": 7, "first": ["u1", "u2", "u3", "u4", "u5"]}


def test_one_piece_of_a_file_is_not_another(corpus: Write, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", noise(3.0), RATE)
    pieces = [(0.0, 1.0), (1.0, 1.0), (0.0, 1.0)]
    lines = [
        {"id": f"p{n}", "audio_filepath": "long.wav", "text": "one", "offset": offset, "duration": duration}
        for n, (offset, duration) in enumerate(pieces)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for quick in (True, False):
        assert suspicions(tmp_path / "p.jsonl", quick=quick) == {
            "the same sound as another": {"count": 1, "first": ["p2: p0"]}
        }


@pytest.mark.parametrize("quick", [False, True])
def test_what_two_corpora_share(corpus: Write, tmp_path: Path, quick: bool) -> None:
    train = corpus((noise(), {}), (noise(seed=1), {"speaker": "bob"}), name="train.jsonl")
    dev = corpus((noise(seed=1), {"speaker": "cid"}), (noise(seed=2), {}), name="dev.jsonl")
    line = {
        "id": "again",
        "audio_filepath": "../" + tmp_path.name + "/train0.wav",
        "text": "x",
        "duration": 1.0,
    }
    with dev.open("a") as file:
        file.write("\n" + json.dumps(line))
    facts = inspect_corpora([train, dev], quick=quick)
    assert facts["kind"] == "corpora"
    assert facts["corpora"][str(dev)]["utterances"] == 3
    assert facts["shared"] == [
        {
            "between": [str(train), str(dev)],
            "speakers": {"count": 1, "first": ["ann"]},
            "sounds": {"count": 1, "first": ["u0"]} if quick else {"count": 2, "first": ["u0", "u1"]},
        }
    ]


def test_three_corpora_are_compared_by_pairs(corpus: Write) -> None:
    paths = [corpus((noise(seed=n), {"speaker": "x"}), name=f"{n}.jsonl") for n in range(3)]
    shared = inspect_corpora(paths)["shared"]
    assert [pair["between"] for pair in shared] == [
        [str(paths[one]), str(paths[other])] for one, other in ((0, 1), (0, 2), (1, 2))
    ]


@pytest.mark.parametrize("quick", [False, True])
def test_features_are_no_sound_to_be_read(tmp_path: Path, quick: bool) -> None:
    np.save(tmp_path / "f.npy", np.zeros((100, 13), dtype=np.float32))
    line = {"feature_filepath": "f.npy", "text": "one", "duration": 1.0}
    lines = [line | {"id": "f0"}, line | {"id": "f1", "text": ""}]
    (tmp_path / "f.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert suspicions(tmp_path / "f.jsonl", quick=quick) == {
        "empty text": {"count": 1, "first": ["f1"]},
        "the same sound as another": {"count": 1, "first": ["f1: f0"]},
    }


def test_a_corpus_without_any_text_or_speaker(corpus: Write) -> None:
    facts = inspect_corpora([corpus((noise(), {"text": "", "speaker": None}))])
    assert facts["characters"] == {}
    assert facts["speakers"] == 0
    assert facts["suspicious"]["empty text"]["count"] == 1
