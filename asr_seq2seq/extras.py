"""What is installed only where it is asked for, and the sentence that says how."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asr_seq2seq.errors import ConfigError

# Extra -> how its package is called, and the modules that come with it.
_EXTRAS = {
    "train": ("PyTorch", ("torch", "torchaudio", "lhotse", "tensorboard")),
    "silero": ("silero-vad", ("silero_vad", "torch")),
    "kenlm": ("kenlm", ("kenlm",)),
    "hub": ("huggingface-hub", ("huggingface_hub",)),
    "huggingface": ("pyarrow", ("pyarrow",)),
    "report": ("Pillow", ("PIL",)),
    "ray": ("Ray", ("ray", "pyarrow")),
    "serve": (
        "Starlette and uvicorn",
        ("starlette", "uvicorn", "python_multipart", "prometheus_client", "websockets", "h11"),
    ),
    "mic": ("sounddevice", ("sounddevice",)),
    "numbers": ("num2words", ("num2words",)),
    "whisper": ("whisper-normalizer", ("whisper_normalizer",)),
}


class MissingExtraError(ConfigError):
    """A package that an extra brings is not installed."""


@contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Around the imports that `what` needs: MissingExtraError says which extra brings them."""
    package, modules = _EXTRAS[extra]
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in modules:
            raise
        raise MissingExtraError(f"{what} needs {package}: pip install 'asr_seq2seq[{extra}]'") from None
