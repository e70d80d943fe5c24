from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run as run_command
from asr_seq2seq.model.files import ModelFile, save_model

app = make_app()

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, standard output, standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        code = run_command(app, [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def model(tiny_model: ModelFile, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    return path


@pytest.fixture
def noise() -> Callable[..., Path]:
    """Write so many seconds of noise."""

    def write(path: Path, seconds: float = 0.5, rate: int = 8000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
        soundfile.write(path, samples, rate)
        return path

    return write
