"""What a run needs to resume as if nothing had happened, in one file that is replaced as a whole.

The file is in the form of safetensors: the tensors of the network, of the running average of its weights
and of the optimizer, and as JSON text all that is not a tensor. Nothing of it is ever unpickled, and what
is read is checked here, once: numbers by their type and bounds, tensors by name, shape and type against
the parts that they are for. There is no state of random generators in it: what chance does to a batch
follows from the seed, the epoch and the batch's number alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

from asr_seq2seq.errors import AsrError, ConfigError, brief
from asr_seq2seq.files import atomic_write, make_folder, parse_json, without_infinity

STATE = Path("state") / "training.pt"  # the name is older than the form
_FORMAT = "asr_seq2seq_state/1"
_KEY = "asr_seq2seq"
_TYPES = {"F32", "F64", "I64", "I32", "U8", "BOOL", "F16", "BF16"}


@dataclass
class Position:
    """How far a run has come: `batches` of `epoch` are done, and what they summed up to.

    `best` is the rank (dev WER, CER and loss) of the best epoch, which is `best_epoch`; `better_epoch` is
    the last one with a better rank or loss (`best_loss`) than all before; `elapsed` is in seconds; `recent`
    sums up the steps since the last row of the log; `corpus` and `dev` are digests of what is learned from
    and chosen on; `plan` names the settings that put utterances into batches.
    """

    epoch: int = 1
    batches: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: list[float] = field(default_factory=lambda: [math.inf] * 3)
    best_epoch: int = 0
    elapsed: float = 0.0
    best_loss: float = math.inf
    better_epoch: int = 0
    recent: dict[str, float] = field(default_factory=dict)
    corpus: str = ""
    dev: str = ""
    plan: str = ""


_Count = Annotated[int, Field(ge=0, le=2**53)]
_Text = Annotated[str, Field(max_length=200)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Position(_Checked):
    epoch: Annotated[int, Field(ge=1, le=2**31)]
    batches: _Count
    step: _Count
    sums: Annotated[dict[Literal["loss", "decoder", "ctc", "characters", "seconds"], float], Field()]
    best: Annotated[list[float | None], Field(min_length=3, max_length=3)]
    best_epoch: _Count
    elapsed: Annotated[float, Field(ge=0, le=1e12)]
    best_loss: float | None = None
    better_epoch: _Count = 0
    recent: Annotated[
        dict[Literal["loss", "characters", "gradient_norm", "steps"], float], Field(default_factory=dict)
    ]
    corpus: _Text
    dev: _Text
    plan: _Text


class _Schedule(_Checked):
    steps: _Count
    plateau_scale: Annotated[float, Field(ge=0, le=1)]
    best: float | None
    epochs_without_better: _Count
    rate: Annotated[float, Field(ge=0, le=1e6)]


class _Header(_Checked):
    format: Literal["asr_seq2seq_state/1"]
    position: _Position
    schedule: _Schedule


def save_state(run: Path, position: Position, parts: dict[str, Any]) -> None:
    """Write the position and the state of each part (network, optimizer ...), all or nothing."""
    path = run / STATE
    make_folder(path.parent)
    header = {
        "format": _FORMAT,
        "position": without_infinity(asdict(position)),
        "schedule": without_infinity(parts["schedule"].state_dict()),
    }
    tensors: dict[str, Tensor] = {}
    for part, holder in parts.items():
        if isinstance(holder, nn.Module):
            tensors |= {f"{part}/{name}": tensor for name, tensor in holder.state_dict().items()}
        elif isinstance(holder, Optimizer):
            for number, found in holder.state_dict()["state"].items():
                tensors |= {f"{part}/{number}/{name}": tensor for name, tensor in found.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save_tensors(tensors, {_KEY: json.dumps(header, allow_nan=False)})
    with atomic_write(path, "wb") as file:
        file.write(content)


def load_state(run: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, on the CPU, a table for each part; None where there is nothing.

    Raises AsrError in one sentence for a file that is damaged, or of an earlier version.
    """
    path = run / STATE
    if not path.exists():
        return None
    try:
        header, tensors = _read(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        # A RuntimeError is torch's, where another file has come into the place meanwhile.
        reason = " ".join(str(error).split())
        if path.is_file() and _begins_with(path, b"PK"):
            reason = "it is of an earlier version of this program"
        raise AsrError(
            f"{path}: cannot be read ({brief(reason, 90)}); begin another run with --run, or delete this one"
        ) from None
    state: dict[str, Any] = {part: header.model_dump()[part] for part in ("position", "schedule")}
    state["position"]["best"] = [_or_infinity(x) for x in state["position"]["best"]]
    state["position"]["best_loss"] = _or_infinity(state["position"]["best_loss"])
    state["schedule"]["best"] = _or_infinity(state["schedule"]["best"])
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if part in ("position", "schedule"):
            raise AsrError(f"{path}: cannot be read (a tensor is named {brief(name)}); begin another run")
        state.setdefault(part, {})[rest] = tensor
    return state


def _read(path: Path) -> tuple[_Header, dict[str, Tensor]]:
    """The header and the tensors; ValueError, SafetensorError or OSError for what is neither."""
    if not path.is_file():
        raise ValueError("it is no file")
    with safe_open(path, framework="pt", device="cpu") as file:
        text = (file.metadata() or {}).get(_KEY)
        if text is None:
            raise ValueError("it was not written by this program")
        try:
            header = _Header.model_validate(parse_json(text))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise ValueError(f"{brief(place, 40)}: {problem['msg']}") from None
        tensors = {}
        for name in file.keys():  # noqa: SIM118
            kind = file.get_slice(name).get_dtype()
            if kind not in _TYPES:
                raise ValueError(f"a tensor of {brief(kind, 20)}")
            # A copy: what is mapped would change with the file.
            tensors[name] = file.get_tensor(name).clone()
    return header, tensors


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def restore(run: Path, state: dict[str, Any], parts: dict[str, Any], corpus: str, dev: str = "") -> Position:
    """Put every part back to where it was; the position that they had.

    Raises ConfigError if the run has learned from another corpus so far or was chosen on another, and
    AsrError if the tensors are not those of the parts.
    """
    position = Position(**state["position"])
    for which, now, before in (("training", corpus, position.corpus), ("dev", dev, position.dev)):
        if now != before and before:
            raise ConfigError(
                f"{run}: the {which} corpora have changed since the run began; put back what they held, or "
                "begin another run with --run"
            )
    for name, part in parts.items():
        found = state.get(name, {})
        if isinstance(part, nn.Module):
            _check_tensors(run / STATE, found, part.state_dict())
            part.load_state_dict(found)
        elif isinstance(part, Optimizer):
            _restore_optimizer(run / STATE, part, found)
        else:
            part.load_state_dict(found)
    return position


# What each optimizer keeps of a parameter, beside its count of steps.
_KEPT = {
    "SGD": {"momentum_buffer"},
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Adadelta": {"step", "square_avg", "acc_delta"},
}


def _restore_optimizer(path: Path, optimizer: Optimizer, found: Mapping[str, Tensor]) -> None:
    """Give the optimizer its tensors; its other settings are the recipe's."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    wanted = {}
    state: dict[int, dict[str, Tensor]] = {}
    for number, parameter in enumerate(parameters):
        names = {name: f"{number}/{name}" for name in _KEPT[type(optimizer).__name__]}
        if names.values() & found.keys():  # a parameter that had no gradient yet has nothing
            state[number] = {name: found[place] for name, place in names.items() if place in found}
            for name, place in names.items():
                wanted[place] = torch.zeros(()) if name == "step" else parameter
    _check_tensors(path, found, wanted)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_tensors(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """AsrError unless the tensors have the names, shapes and types of those wanted, and are finite."""
    problem = ""
    if names := sorted(found.keys() ^ wanted.keys()):
        problem = f"{brief(names[0], 60)} is {'too much' if names[0] in found else 'missing'}"
    for name, tensor in [] if problem else found.items():
        want = wanted[name]
        if tensor.shape != want.shape or tensor.dtype != want.dtype:
            problem = f"{brief(name, 60)} is {tensor.dtype} {brief(str(tuple(tensor.shape)), 30)}"
        elif not bool(tensor.isfinite().all()):
            problem = f"{brief(name, 60)} is not finite"
    if problem:
        raise AsrError(f"{path}: does not fit the network of its run ({problem}); begin another with --run")


def _or_infinity(value: float | None) -> float:
    return math.inf if value is None else value
