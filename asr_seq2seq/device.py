"""Which processor does the work."""

from __future__ import annotations

import torch

from asr_seq2seq.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; ConfigError for what is not on this machine."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(f"device {name}: is not on this machine; use auto, cpu, cuda or mps") from None
    return device
