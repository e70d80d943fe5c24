import json
from pathlib import Path

import pytest

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run

app = make_app()
SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))
TEXTS = [file.with_suffix(".txt").read_text().strip() for file in SAMPLES]


def transcribed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(app, ["transcribe", *map(str, SAMPLES[:3]), "--threads", "1", *arguments]) == 0
    return [line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()]


def test_hot_words_of_an_option_and_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plain = transcribed(capsys)
    raised = transcribed(capsys, "--hotwords", "nine:20, Oh:20")
    assert raised != plain
    file = tmp_path / "words.txt"
    file.write_text("nine:20\nOh:20\n")
    assert transcribed(capsys, "--hotwords", f"@{file}") == raised


def test_only_phrases_come_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "phrases.txt"
    file.write_text("\n".join([*TEXTS[1:], "Nine, nine!", "one one"]))
    found = transcribed(capsys, "--phrases", str(file))
    assert found[1:] == TEXTS[1:3]
    assert found[0] in [*TEXTS[1:], "nine nine", "one one"]
    file.write_text("\n".join([*TEXTS[1:], "[unk]"]))
    assert transcribed(capsys, "--phrases", str(file)) == ["[unk]", *TEXTS[1:3]]
    file.write_text("one\nfour\nthree\nfive\nnine\nzero\ntwo\n[repeat]\n")
    given = {"one", "four", "three", "five", "nine", "zero", "two"}
    assert set(" ".join(transcribed(capsys, "--phrases", str(file))).split()) <= given


def test_an_unknown_phrase_has_the_times_of_its_segment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "phrases.txt"
    file.write_text("zero\n[unk]\n")
    assert run(app, ["transcribe", str(SAMPLES[0]), "--phrases", str(file), "--json"]) == 0
    [segment] = json.loads(capsys.readouterr().out)["segments"]
    assert segment["text"].strip() == "[unk]"
    [word] = segment["words"]
    assert (word["start"], word["end"]) == (segment["start"], pytest.approx(segment["end"], abs=0.002))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hotwords", "n1ne"], "hot word 'n1ne' has characters that the model cannot write (1)"),
        (["--hotwords", "nine", "--beam-size", "1"], "beam size of 2 or more"),
        (["--hotwords", "@missing.txt"], "cannot read missing.txt"),
        (["--phrases", "missing.txt"], "phrases: cannot read missing.txt"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["transcribe", str(SAMPLES[0]), *arguments]) == 2
    assert message in capsys.readouterr().err
