"""What a run needs to go on as if nothing had happened, in one file that is replaced as a whole.

There is no state of random generators in it: what chance does to a batch follows from the seed, the
epoch and the batch's number alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr_seq2seq.errors import AsrError, ConfigError
from asr_seq2seq.files import atomic_write

STATE = Path("state") / "training.pt"


@dataclass
class Position:
    """How far a run has come: `batches` of `epoch` are done, and what they summed up to.

    `best` is the rank (dev WER, CER and loss) of the best epoch, which is `best_epoch`; `elapsed` is
    in seconds; `corpus` is the digest of what is learnt from.
    """

    epoch: int = 1
    batches: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: list[float] = field(default_factory=lambda: [math.inf] * 3)
    best_epoch: int = 0
    elapsed: float = 0.0
    corpus: str = ""


def save_state(run: Path, position: Position, parts: dict[str, Any]) -> None:
    """Write the position and the state of each part (network, optimizer ...), all or nothing."""
    path = run / STATE
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as file:
        torch.save({"position": asdict(position)} | {k: v.state_dict() for k, v in parts.items()}, file)


def load_state(run: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, on the CPU; None where there is nothing. Nothing but tensors is unpickled."""
    path = run / STATE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever damaged bytes lead it to
        reason = " ".join(str(error).split())[:100]
        raise AsrError(f"{path}: cannot be read ({reason}); delete the run and begin again") from None
    assert isinstance(state, dict)
    return state


def restore(run: Path, state: dict[str, Any], parts: dict[str, Any], corpus: str) -> Position:
    """Put every part back to where it was; the position that they had.

    Raises ConfigError if the run has learnt from another corpus so far.
    """
    position = Position(**state["position"])
    if position.corpus != corpus:
        raise ConfigError(
            f"{run}: the training corpora have changed since the run began; put back what they held, or "
            "begin another run with --run"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return position
