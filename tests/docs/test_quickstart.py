"""docs/quickstart.md: its commands, as they stand there, lead from a folder to a comparison."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
SAMPLES = ROOT / "data" / "samples"
SHORTER = "--set training.epochs=1"


def commands() -> list[str]:
    """The lines of the fenced bash blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def make_recordings(folder: Path) -> None:
    """One folder for each speaker, a text beside each sound."""
    for number, sound in enumerate(sorted(SAMPLES.glob("*.flac"))):
        speaker = folder / f"speaker_{number}"
        speaker.mkdir(parents=True)
        shutil.copy(sound, speaker / sound.name)
        shutil.copy(sound.with_suffix(".txt"), speaker)


def check_results(folder: Path, compared: str) -> None:
    assert (folder / "mine" / "report.html").stat().st_size > 10_000
    assert (folder / "runs" / "mine" / "model.safetensors").is_file()
    rates = re.findall(r"\b(before|after)\b.*?(\d+\.\d+) ?%", compared)
    assert {name for name, _ in rates} == {"before", "after"}, compared


def test_there_are_at_most_eight_commands() -> None:
    assert 6 <= len(commands()) <= 8
    assert SHORTER.split("=")[0] in PAGE.read_text(encoding="utf-8")  # how to shorten is on the page


def test_the_commands_lead_from_a_folder_to_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_recordings(tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    printed = ""
    for command in commands():
        program, *words = command.split()
        if program == "asr-seq2seq":
            words += SHORTER.split() if words[0] == "train" else []
            assert run(make_app(), words) == 0, (command, capfd.readouterr())
            printed = capfd.readouterr().out
    check_results(tmp_path, printed)


@pytest.mark.slow
def test_the_commands_as_they_stand_in_a_new_environment(tmp_path: Path) -> None:
    """All of them, with the installation, in a copy of what git tracks; the network is needed."""
    clone = tmp_path / "clone"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    make_recordings(clone / "recordings")
    script = "set -euo pipefail\n" + "\n".join(commands())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    check_results(clone, done.stdout)
