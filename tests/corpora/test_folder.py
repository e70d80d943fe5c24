from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.errors import CorpusError


@pytest.fixture
def folder(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """A folder with a.wav and b/c.wav and their texts."""
    for name, text in (("a", "one"), ("b/c", "  two\n three ")):
        write_wav(tmp_path / f"{name}.wav", 0.5)
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_folders_in_it_belong_to_it(folder: Path) -> None:
    (folder / "README.txt").write_text("no sound belongs to this")
    (folder / "._a.wav").write_bytes(b"a hidden file")
    utterances = load_corpus(folder)
    assert [(utterance.id, utterance.text) for utterance in utterances] == [
        ("a", "one"),
        ("b/c", "two three"),
    ]
    assert [utterance.duration for utterance in utterances] == [0.5, 0.5]


def test_a_listed_text_and_one_beside_go_together(folder: Path, write_wav: Callable[..., Path]) -> None:
    write_wav(folder / "7" / "9" / "7-9-0001.wav", 0.5)
    (folder / "7" / "9" / "7-9.trans.txt").write_text("7-9-0001 FOUR FIVE\n")
    utterances = {utterance.id: utterance for utterance in load_corpus(folder)}
    assert utterances["7-9-0001"].text == "FOUR FIVE"
    assert utterances["7-9-0001"].speaker == "7"
    assert utterances["a"].speaker is None


def test_a_sound_without_text_is_named(folder: Path, write_wav: Callable[..., Path]) -> None:
    (folder / "a.txt").unlink()
    with pytest.raises(
        CorpusError, match=r"a.wav: has no text in a.txt or .lab beside it; .* the sound away"
    ):
        load_corpus(folder)
    (folder / "train.jsonl").touch()
    with pytest.raises(CorpusError, match=r"or name the manifest .*train.jsonl"):
        load_corpus(folder)


def test_all_sounds_without_text_are_counted(folder: Path, write_wav: Callable[..., Path]) -> None:
    write_wav(folder / "d.wav", 0.5)
    (folder / "a.txt").unlink()
    with pytest.raises(CorpusError, match=r"a.wav: has no text .* beside it, nor has another sound; write"):
        load_corpus(folder)
    (folder / "b" / "c.txt").unlink()
    with pytest.raises(CorpusError, match=r"a.wav: has no text .* beside it, nor have 2 other sounds; write"):
        load_corpus(folder)


def test_two_texts_are_named(folder: Path) -> None:
    (folder / "a.lab").write_text("two")
    with pytest.raises(CorpusError, match=r"a.wav: has its text in a.txt and in a.lab; delete one"):
        load_corpus(folder)


def test_two_sounds_of_one_text_are_named(folder: Path, write_wav: Callable[..., Path]) -> None:
    write_wav(folder / "a.w64", 0.5)
    with pytest.raises(CorpusError, match=r"a.wav: a.w64 has the same name and text"):
        load_corpus(folder)


def test_a_text_without_sound_is_named(folder: Path) -> None:
    (folder / "b" / "b.trans.txt").write_text("c two\nd three\n")
    with pytest.raises(CorpusError, match=r"b.trans.txt, line 2: there is no sound .*d\.\*"):
        load_corpus(folder)


def test_a_name_with_two_texts_is_named(folder: Path) -> None:
    (folder / "b" / "b.trans.txt").write_text("c two\nc three\n")
    with pytest.raises(CorpusError, match=r"b.trans.txt, line 2: the name c was given on an earlier line"):
        load_corpus(folder)


def test_a_text_of_other_bytes_is_named(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"\xff")
    with pytest.raises(CorpusError, match=r"a.txt: is not UTF-8"):
        load_corpus(folder)


def test_one_bad_file_does_not_stop_the_rest(folder: Path) -> None:
    (folder / "a.wav").write_bytes(b"no sound")
    first, second = load_corpus(folder)
    assert "a.wav" in (first.problem or "")
    assert second.problem is None


def test_a_folder_without_sound_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"is a folder without sound; .* e.g. .*train.jsonl"):
        load_corpus(tmp_path)
    (tmp_path / "all.jsonl").touch()
    with pytest.raises(CorpusError, match=r"e.g. .*all.jsonl"):
        load_corpus(tmp_path)


def test_folders_that_are_links_belong_to_it_once(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tmp_path_factory.mktemp("tree")
    (tree / "c").symlink_to(folder / "b")
    (tree / "d").symlink_to(folder / "b")
    assert [utterance.id for utterance in load_corpus(tree)] == ["c/c"]
