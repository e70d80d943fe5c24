import os
from pathlib import Path

import pytest

from asr_seq2seq.errors import OutputError
from asr_seq2seq.outputs import keep_inputs, keep_recipe, keep_texts_beside


def test_an_output_that_is_read_is_refused_under_every_name(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("{}")
    (tmp_path / "link").symlink_to(corpus)
    os.link(corpus, tmp_path / "hard")
    (tmp_path / "below").mkdir()
    for name in ("corpus.jsonl", "link", "hard", "below/../corpus.jsonl"):
        with pytest.raises(OutputError, match="is read by the same command"):
            keep_inputs([tmp_path / name], [None, tmp_path / "none", corpus])
        with pytest.raises(OutputError, match="is read by the same command"):
            keep_inputs([corpus], [str(tmp_path / name)])
    keep_inputs([tmp_path / "new.jsonl", "/dev/null"], [corpus, "/dev/null", "-", "n" * 300, "\0"])


def test_two_results_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="two results"):
        keep_inputs([tmp_path / "a", tmp_path / "." / "a"], [])
    keep_inputs(["/dev/null", "/dev/null"], [])


def test_of_a_folder_that_is_read_nothing_is_replaced(tmp_path: Path) -> None:
    for name in ("wav.scp", "hypotheses.jsonl", "report.html"):
        (tmp_path / name).touch()
    with pytest.raises(OutputError, match="is part of"):
        keep_inputs([tmp_path / "wav.scp"], [tmp_path])
    keep_inputs([tmp_path / "hypotheses.jsonl", tmp_path / "report.html", tmp_path / "new"], [tmp_path])


def test_texts_beside_their_sounds_stay(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("made by hand")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("an older result")
    with pytest.raises(OutputError, match="may be a reference text"):
        keep_texts_beside([(tmp_path / "a.wav", [tmp_path / "out" / ".." / "a.txt"])])
    keep_texts_beside([(tmp_path / "a.wav", [tmp_path / "out" / "a.txt"]), ("-", [tmp_path / "a.txt"])])


def test_a_recipe_is_replaced_only_by_itself(tmp_path: Path) -> None:
    recipe = tmp_path / "config.yaml"
    recipe.write_text("seed: 1  # my own\n")
    with pytest.raises(OutputError, match="give another folder"):
        keep_recipe(tmp_path, recipe, lambda: "seed: 1\n")
    recipe.write_text("seed: 1\n")
    keep_recipe(tmp_path, recipe, lambda: "seed: 1\n")
    keep_recipe(tmp_path / "other", recipe, lambda: "never read")
