import platform
import subprocess
import sys

import pytest
import torch

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.model.device import pick_device

PROGRAM = """
import resource, sys, torch
from asr_seq2seq.model.device import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages()
print(pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_kept_memory_is_not_mapped_again() -> None:
    def new_pages(what: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", PROGRAM, what], text=True))

    assert new_pages("keep") < 100 < new_pages("leave")


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="device warp"):
        pick_device("warp")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="cuda"):
            pick_device("cuda")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
