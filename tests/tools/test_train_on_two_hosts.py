"""Training on two hosts that are network namespaces of this machine."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.recipes import to_yaml
from asr_seq2seq.training_config import Config

TOOL = Path(__file__).resolve().parents[2] / "tools" / "train_on_two_hosts.py"


@pytest.fixture
def namespaces() -> None:
    if os.name != "posix" or os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the program ip")
    probe = ["ip", "netns", "add", "asr_probe"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let network namespaces be made")
    subprocess.run(["ip", "netns", "del", "asr_probe"], check=True)


def test_two_hosts_learn_what_one_learns(
    namespaces: None, tmp_path: Path, make_config: Callable[..., Config], write_wav: Callable[..., Path]
) -> None:
    lines = []
    for number in range(12):
        write_wav(tmp_path / f"{number}.wav", 0.3 + 0.02 * number, rate=8000, seed=number)
        lines.append(json.dumps({"audio_filepath": f"{number}.wav", "text": ("one", "two")[number % 2]}))
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    corpus = {"data.train": str(tmp_path / "corpus.jsonl"), "data.dev": str(tmp_path / "corpus.jsonl")}
    config = make_config(corpus | {"data.batch_seconds": 1.2, "training.epochs": 1})
    (tmp_path / "recipe.yaml").write_text(to_yaml(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    for out in (
        "out",
        "again",
    ):  # once the hosts were seen not to end; what they were at is then in the warning
        command = [sys.executable, TOOL, tmp_path / "recipe.yaml", tmp_path / out, "--patience", "100"]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
        if result.returncode == 0:
            break
        warnings.warn(result.stderr[-8000:], stacklevel=1)
    assert result.returncode == 0, result.stderr[-2000:]
    apart = float(result.stdout.split("lie at most ")[1].split()[0])
    assert apart <= 1e-4
    # The second host writes nothing.
    assert not (tmp_path / out / "host_1").exists()
