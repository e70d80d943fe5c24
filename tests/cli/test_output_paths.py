from pathlib import PurePath

import pytest

from asr_seq2seq.audio.discovery import FoundSound
from asr_seq2seq.cli.output_paths import each_once, output_stems
from asr_seq2seq.errors import ConfigError


def _stems(*names: str) -> list[str]:
    return output_stems([FoundSound(name) for name in names])


def test_a_tree_is_laid_out_again() -> None:
    sounds = [FoundSound(f"calls/{number}/audio.wav", PurePath(number)) for number in ("1", "2")]
    assert output_stems([*sounds, FoundSound("calls/x.wav")]) == ["1/audio", "2/audio", "x"]


def test_inputs_that_would_meet_keep_their_endings() -> None:
    assert _stems("a/talk.wav", "talk.mp3", "other.wav", "-") == ["talk.wav", "talk.mp3", "other", "stdin"]
    assert _stems("talk.wav", "talk.mp3", "talk.wav.flac") == ["talk.wav", "talk.mp3", "talk.wav.flac"]
    assert _stems("-", "stdin.wav") == ["stdin", "stdin.wav"]


def test_files_of_one_name_get_their_folders() -> None:
    assert _stems("/x/1/audio.wav", "/x/2/audio.wav", "/y/b.wav") == ["1/audio", "2/audio", "b"]
    assert _stems("/x/audio.wav", "/x/2/audio.wav") == ["audio.wav", "2/audio"]
    assert _stems("/x/a/t.wav", "/x/a/t.mp3", "/x/b/t.wav") == ["a/t", "t.mp3", "b/t"]
    roots = [FoundSound("/r/one/1/a.wav", PurePath("1")), FoundSound("/r/two/1/a.wav", PurePath("1"))]
    assert output_stems(roots) == ["one/1/a", "two/1/a"]


def test_no_output_climbs_or_is_absolute() -> None:
    for names in (("../a.wav", "../../a.wav"), ("..wav", "...wav", "/a/..wav"), ("/a.wav", "/b/a.wav")):
        for stem in _stems(*names):
            assert not stem.startswith("/") and ".." not in PurePath(f"{stem}.txt").parts


def test_what_cannot_be_told_apart_is_refused() -> None:
    sounds = [FoundSound("-"), FoundSound("-")]
    with pytest.raises(ConfigError, match="rename one of them"):
        output_stems(sounds)
    sounds = [FoundSound("a.wav"), FoundSound("./a.wav"), FoundSound("b/../a.wav"), FoundSound("b.wav")]
    assert [sound.path for sound in each_once(sounds)] == ["a.wav", "b.wav"]
