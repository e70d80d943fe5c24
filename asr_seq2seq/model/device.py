"""Which processor does the work, and with what memory."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from asr_seq2seq.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; ConfigError for what is not on this machine."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    advice = "use auto, cpu, cuda or mps"
    try:
        device = torch.device(name)
    except RuntimeError:  # a name that torch cannot parse
        raise ConfigError(f"device {name}: there is no such device; {advice}") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not there.get(device.type) or (device.index or 0) >= count:
        raise ConfigError(f"device {name}: is not on this machine; {advice}")
    return device


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, and oneDNN little; for processes that do nothing but train.

    It otherwise gives large tensors back at once, and each new one comes as pages that the system first fills
    with zeros. One arena serves all threads, so that all find what is kept. oneDNN would keep a thousand of
    its primitives, which lie between what is freed; nearly every batch has its own shape, and few come again.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    # From malloc.h: M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD.
    for option, value in ((-8, 1), (-4, 0), (-1, 2**31 - 1)):
        library.mallopt(option, value)
