from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from asr_seq2seq.audio.discovery import SOUND_ENDINGS, files_in, find_sounds, is_sound, sounds_in
from asr_seq2seq.errors import AudioError


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Make empty files by their names; the folder that holds them."""

    def files(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return files


def _names(folder: Path, *patterns: str, recursive: bool = False) -> list[str]:
    found = find_sounds([str(folder / pattern) for pattern in patterns], recursive=recursive)
    return [str(Path(sound.path).relative_to(folder)) for sound in found.sounds]


def test_endings_in_any_case_and_no_hidden_file() -> None:
    for ending in (
        "3gp",
        "aiff",
        "mp2",
        "mpga",
        "mpeg",
        "m4b",
        "mka",
        "m4v",
        "mts",
        "ts",
        "flv",
        "wv",
        "ape",
    ):
        assert is_sound(f"a.{ending}") and is_sound(f"my talk.{ending.upper()}")
    for ending in (
        "flv",
        "wv",
        "ape",
        "spx",
        "dsf",
        "tta",
        "gsm",
        "snd",
        "wave",
        "ra",
        "eac3",
        "aifc",
        "sph",
    ):
        assert is_sound(f"a.b.{ending}")
    for name in ("a.txt", "wav", ".wav", "._a.wav", "a.wav.txt", "a.", "a"):
        assert not is_sound(name)
    assert all(ending == ending.lower() and "." not in ending for ending in SOUND_ENDINGS)


def test_folders_that_are_links_are_looked_into_once(make: Callable[..., Path]) -> None:
    folder = make("store/one/a.wav", "tree/two/b.wav", "tree/.hidden/c.wav", "tree/.d.wav")
    tree = folder / "tree"
    (tree / "one").symlink_to("../store/one")
    (tree / "again").symlink_to("two")  # the folder keeps its own name
    (tree / "two" / "round").symlink_to("..")
    (folder / "store" / "one" / "self").symlink_to(".")
    assert sounds_in(tree) == [tree / "one" / "a.wav", tree / "two" / "b.wav"]
    assert _names(folder, "tree", recursive=True) == ["tree/one/a.wav", "tree/two/b.wav"]
    assert _names(folder, "tree/**/*.wav") == ["tree/one/a.wav", "tree/two/b.wav"]
    assert _names(folder, "tree/*/*.wav") == ["tree/again/b.wav", "tree/one/a.wav", "tree/two/b.wav"]
    assert find_sounds([str(tree)]).sounds == []


def test_links_that_lead_nowhere_are_given_so_that_they_are_missed(make: Callable[..., Path]) -> None:
    folder = make("a.wav")
    (folder / "b.wav").symlink_to("gone.wav")
    (folder / "c.wav").symlink_to("c.wav")
    (folder / "d.wav").mkdir()
    assert [path.name for path in files_in(folder)] == ["a.wav", "b.wav", "c.wav"]


def test_a_folder_that_may_not_be_read_is_named(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make("a.wav", "closed/b.wav")
    import os

    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AudioError, match=r"closed cannot be looked into \(Permission denied\)"):
        sounds_in(folder)
    found = find_sounds([str(folder)], recursive=True)
    assert [Path(sound.path).name for sound in found.sounds] == ["a.wav"]
    assert len(found.errors) == 1


def test_what_is_passed_over_is_told(make: Callable[..., Path]) -> None:
    folder = make("a.WAV", "b.txt", "c.xyz", "d.doc", "e\x1b.pdf", ".f.txt")
    found = find_sounds([str(folder)])
    assert [Path(sound.path).name for sound in found.sounds] == ["a.WAV"]
    assert found.passed_over_message() == (
        "4 files passed over, whose endings are not of sound (b.txt, c.xyz, d.doc, ...); "
        "a file that is named is read"
    )
    assert find_sounds([str(folder / "a.WAV")]).passed_over_message() is None
    assert "1 file passed over" in (find_sounds([str(folder / "*[.]x*")]).passed_over_message() or "")


def test_a_pattern_that_spells_its_ending_takes_what_it_matches(make: Callable[..., Path]) -> None:
    folder = make("a.3gp", "b.xyz", "below/c.xyz", "below/d.wav", "notes.txt")
    assert _names(folder, "*.3gp", "*.xyz") == ["a.3gp", "b.xyz"]
    assert _names(folder, "**/*.xyz") == ["b.xyz", "below/c.xyz"]
    assert _names(folder, "*") == ["a.3gp"]
    assert _names(folder, "*", recursive=True) == ["a.3gp", "below/d.wav"]
    assert _names(folder, "**") == ["a.3gp", "below/d.wav"]
    assert _names(folder, "b*/?.*") == ["below/d.wav"]
    errors = find_sounds([str(folder / "bel*"), str(folder / "*.ogg")]).errors
    assert "--recursive" in str(errors[0]) and "check the pattern" in str(errors[1])


def test_places_below_the_folder_that_was_named(make: Callable[..., Path]) -> None:
    folder = make("calls/1/audio.wav", "calls/2/x/audio.wav", "calls/audio.wav")
    for name in ("calls", "calls/**/*.wav"):
        found = find_sounds([str(folder / name)], recursive=True)
        assert [sound.below for sound in found.sounds] == [PurePath("1"), PurePath("2/x"), PurePath()]
    assert {sound.below for sound in find_sounds([str(folder / "calls" / "*" / "*.wav")]).sounds} == {
        PurePath()
    }
