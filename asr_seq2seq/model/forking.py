"""What a process that was forked after PyTorch had computed must change to compute itself.

Threads do not survive a fork. GNU OpenMP, by which PyTorch divides work among threads, does not notice
and waits for ever for those of the parent (pytorch/pytorch#17199). One thread needs none of them.
"""

from __future__ import annotations

import os

_computed = False


def note_computation() -> None:
    """Remember that PyTorch has computed in this process, so that its forked children use one thread."""
    global _computed
    _computed = True


def _in_child() -> None:
    if _computed:
        import torch

        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
