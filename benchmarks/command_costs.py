"""What whole runs of the command line cost: how long each verb takes to start, and memory against sound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asr_seq2seq.errors import AsrError

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data" / "samples"
SAMPLE = SAMPLES / "digits_03.flac"  # 3 s
BUNDLED = ROOT / "asr_seq2seq" / "model_file" / "pretrained" / "digits.safetensors"

# Seconds that a command may take on two quiet cores, with the files of its imports in memory.
BUDGETS = {
    "--version": 0.5,
    "--help": 0.5,
    "score": 1.0,
    "compare": 1.0,
    "transcribe": 4.0,
    "inspect model": 3.0,
    "inspect corpus": 4.0,
    "export": 4.0,
    "prepare": 4.0,
    "split": 2.0,
    "evaluate": 5.0,
    "train": 10.0,
    "average": 3.0,
    "train-lm": 6.0,
    "align": 4.0,
}
NEW = "NEW FOLDER"

# A process takes over the peak of the memory of the one that started it, and ours has torch in it. So a
# small process in between starts the command, and prints seconds, processor seconds and peak.
BETWEEN = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 2**20]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Cost:
    """Of one process from its start to its end: seconds on the wall and on processors, peak of memory."""

    seconds: float
    processor_seconds: float
    megabytes: float


def run_command(*arguments: str) -> Cost:
    """Run `asr-seq2seq` with these arguments, in as many threads as `OMP_NUM_THREADS` says."""
    command = [sys.executable, "-m", "asr_seq2seq", *arguments]
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = subprocess.run(
        [sys.executable, "-S", "-c", BETWEEN, *command],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": python_path},
    )
    if result.returncode:
        raise AsrError(f"asr-seq2seq {' '.join(arguments)} failed: {result.stderr.strip()}")
    return Cost(*json.loads(result.stdout))


def run_anew(command: list[str]) -> Cost:
    """The same of a command in which `NEW` stands for a folder that is not there yet."""
    with tempfile.TemporaryDirectory() as folder:
        new = str(Path(folder) / "new")
        return run_command(*(new if word == NEW else word for word in command))


def prepare_commands(folder: Path) -> dict[str, list[str]]:
    """The commands for `run_anew`, by the names of `BUDGETS`, with inputs as small as can be."""
    corpus, text, texts = folder / "corpus", folder / "text.txt", sorted(SAMPLES.glob("*.txt"))
    (corpus / "recordings").mkdir(parents=True)
    for index in (0, 5):  # one recording of each part
        shutil.copy(SAMPLE, corpus / "recordings" / f"9_anyone_{index}.flac")
    text.write_text("\n".join(path.read_text().strip() for path in texts) + "\n")
    run, small = folder / "run", ["--device", "cpu"]
    data = {"data.train": SAMPLES, "data.dev": SAMPLES, "data.dev_fraction": 0, "data.workers": 0}
    recipe = settings(data | {"training.epochs": 1, "training.keep_epochs": 1})
    train = ["train", str(ROOT / "configs" / "fsdd.yaml"), *small, *recipe]
    lm_recipe = settings({"data.train": text, "data.dev_fraction": 0.2, "training.epochs": 1})
    train_lm = ["train-lm", str(ROOT / "configs" / "lm_chars.yaml"), *small, *lm_recipe]
    run_command(*train, "--run", str(run))
    commands = {
        "--version": ["--version"],
        "--help": ["--help"],
        "score": ["score", str(text), str(text)],
        "compare": ["compare", str(text), str(text), str(text)],
        "transcribe": ["transcribe", str(SAMPLE), *small],
        "inspect model": ["inspect", str(BUNDLED)],
        "inspect corpus": ["inspect", str(SAMPLES)],
        "export": ["export", str(BUNDLED), str(folder / "digits.onnx.zip"), "--int8"],
        "prepare": ["prepare", "fsdd", str(corpus), NEW],
        "split": ["split", str(SAMPLES), NEW, "--by", "sentence"],
        "evaluate": ["evaluate", str(BUNDLED), str(SAMPLES), *small],
        "train": [*train, "--run", NEW],
        "average": ["average", str(run)],
        "train-lm": [*train_lm, "--run", NEW],
        "align": ["align", str(BUNDLED), str(SAMPLE), str(SAMPLE.with_suffix(".txt"))],
    }
    return {name: commands[name] for name in BUDGETS}


def settings(values: dict[str, object]) -> list[str]:
    """Changes of a recipe as the command line takes them."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def long_sounds(folder: Path, minutes: tuple[float, ...]) -> Iterator[tuple[float, Path]]:
    """Files of so many minutes, a sample said again and again."""
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    for length in minutes:
        path = folder / f"{length:g}_minutes.flac"
        soundfile.write(path, np.resize(samples, round(length * 60 * rate)), rate)
        yield length, path
