"""The parts of an archive: what is found, written down once, and done or waiting."""

import json
import tracemalloc
from pathlib import Path

import pytest

from asr_seq2seq.archive import plan as plans
from asr_seq2seq.archive.plan import Plan, Source, find_sources
from asr_seq2seq.errors import AudioError, ConfigError

FACTS = {"models": ["a"], "decoding": {"hotwords": ("one", "two")}}


def some(count: int) -> list[Source]:
    return [Source(f"s{number}", f"/sounds/s{number}.wav") for number in range(count)]


def test_files_folders_lists_and_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    for name in ("a/one.wav", "a/deep/two.flac", "a/notes.txt", "a/.hidden.wav", "three.mp3"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    listed = tmp_path / "list.txt"
    listed.write_text(f"\ufeff{tmp_path}/three.mp3\r\n\n{tmp_path}/missing.wav\n", encoding="utf-8")

    def names(recursive: bool) -> list[str]:
        found = find_sources([str(tmp_path / "a")], str(listed), recursive=recursive)
        return sorted(str(Path(one.path).relative_to(tmp_path)) for one in found)

    assert names(recursive=False) == ["a/one.wav", "missing.wav", "three.mp3"]
    assert names(recursive=True) == ["a/deep/two.flac", "a/one.wav", "missing.wav", "three.mp3"]


def test_parts_of_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "many.tar").write_bytes(b"0123456789")
    inside = Source("x", str(tmp_path / "many.tar"), 3, 4)
    assert inside.open() == b"3456"
    plan = Plan.make(tmp_path / "out", [inside], {}, "jsonl")
    assert list(plan.waiting()) == [(0, [inside])]
    with pytest.raises(AudioError, match="cannot be read"):
        Source("x", str(tmp_path / "none.tar"), 3, 4).open()


def test_an_address_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `ray` is not installed")
    (tmp_path / "one.wav").write_bytes(b"content")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "two two.wav").write_bytes(b"more")
    found = sorted(find_sources([f"file://{tmp_path}"], None, recursive=False), key=lambda one: one.path)
    assert [one.path for one in found] == [f"file://{tmp_path}/one.wav", f"file://{tmp_path}/two%20two.wav"]
    assert found[1].open() == b"more"
    assert found[0].open() == b"content"
    with pytest.raises(AudioError, match="cannot be read"):
        Source("x", f"file://{tmp_path}/none.wav").open()
    with pytest.raises(AudioError, match="nonsense://x cannot be read"):
        list(find_sources(["nonsense://x"], None, recursive=False))


def test_a_plan_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "PART_SOUNDS", 4)
    plan = Plan.make(tmp_path, some(10), FACTS, "jsonl")
    assert (plan.sounds, plan.parts) == (10, 3)
    assert [(part, [one.name for one in sources]) for part, sources in plan.waiting()] == [
        (0, ["s0", "s1", "s2", "s3"]),
        (1, ["s4", "s5", "s6", "s7"]),
        (2, ["s8", "s9"]),
    ]
    plan.results(1).touch()
    again = Plan.make(tmp_path, some(99), FACTS, "jsonl")  # what is found now does not count
    assert again == plan
    assert [(part, sources[0].name) for part, sources in again.waiting()] == [(0, "s0"), (2, "s8")]
    for facts, ending, other in (
        (FACTS | {"models": ["b"]}, "jsonl", "models"),
        (FACTS, "parquet", "format"),
    ):
        with pytest.raises(ConfigError, match=f"holds results of other {other}; give another folder"):
            Plan.make(tmp_path, some(10), facts, ending)
    (tmp_path / "plan.json").write_text("[")
    with pytest.raises(ConfigError, match=r"plan\.json: is damaged"):
        Plan.make(tmp_path, some(10), FACTS, "jsonl")


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no sound file"):
        Plan.make(tmp_path, [], FACTS, "jsonl")
    assert not (tmp_path / "plan.json").exists()


def test_failures_are_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "PART_SOUNDS", 2)
    plan = Plan.make(tmp_path, some(6), FACTS, "jsonl")
    plan.failures(0).write_text('{"audio_filepath": "s1"}\n')
    plan.failures(2).write_text('{"audio_filepath": "s4"}\n{"audio_filepath": "s5"}\n')
    assert plan.gather_failures() == 3
    lines = (tmp_path / "failed.jsonl").read_text().splitlines()
    assert [json.loads(line)["audio_filepath"] for line in lines] == ["s1", "s4", "s5"]


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        sources = (Source(f"s{number}", f"/sounds/s{number}.wav") for number in range(count))
        plan = Plan.make(tmp_path / str(count), sources, FACTS, "jsonl")
        assert sum(len(part) for _, part in plan.waiting()) == count
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(100)
    assert peak(20_000) < 1.2 * peak(1_000) + 50_000
