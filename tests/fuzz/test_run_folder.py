"""Run folders and training states that somebody hands over."""

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mutate import mutate_bytes, mutate_json_lines, mutate_tree, mutate_yaml

from asr_seq2seq.epochs import best_checkpoints
from asr_seq2seq.errors import AsrError
from asr_seq2seq.inspection import inspect
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.recipes import to_yaml
from asr_seq2seq.training.fine_tuning import model_to_start_from
from asr_seq2seq.training.optim import Schedule, build_optimizer
from asr_seq2seq.training.run_folder import open_run
from asr_seq2seq.training.state import STATE, Position, load_state, restore, save_state
from asr_seq2seq.training_config import Config

LINE = {"epoch": 1, "step": 7, "loss": 2.5, "dev_loss": 2.25, "dev_wer": 0.5, "dev_cer": None, "elapsed": 1.5}


@pytest.fixture(scope="module")
def parts(make_config: Callable[..., Config], make_model: Callable[..., Any]) -> dict[str, Any]:
    """A tiny network after one step, with its optimizer and schedule."""
    config = make_config({"training.optimizer": "adam"})
    model = make_model()
    optimizer = build_optimizer(config.training, model.parameters())
    schedule = Schedule(config.training, optimizer)
    schedule.before_step(0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return {"model": model, "optimizer": optimizer, "schedule": schedule}


def mutate_header(content: bytes, chance: random.Random) -> bytes:
    """A file of safetensors whose header, or the JSON text in it, is changed."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    if chance.random() < 0.7:
        inner = mutate_tree(json.loads(header["__metadata__"]["asr_seq2seq"]), chance)
        header["__metadata__"]["asr_seq2seq"] = json.dumps(inner)
    else:
        header = mutate_tree(header, chance)
    changed = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(changed)) + changed + content[8 + size :]


def test_training_states(campaign: Callable[..., object], tmp_path: Path, parts: dict[str, Any]) -> None:
    save_state(tmp_path, Position(epoch=2, batches=3, step=9, sums={"loss": 1.0}, corpus="a"), parts)
    path = tmp_path / STATE
    good = path.read_bytes()

    def read(content: bytes) -> None:
        path.write_bytes(content)
        state = load_state(tmp_path)
        assert state is not None
        restore(tmp_path, state, parts, "a")

    read(good)
    campaign("training state", [good], read, [mutate_header, mutate_header, mutate_bytes])


def test_run_folders(
    campaign: Callable[..., object],
    tmp_path: Path,
    parts: dict[str, Any],
    tiny_model: ModelFile,
    make_config: Any,
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    config = make_config({"model.decoder.attention": "dot"})
    save_state(run, Position(epoch=2), parts)
    save_model(run / "model.safetensors", tiny_model)
    for name in ("epoch_0001", "epoch_1", "epoch_x", "epoch_99999999999999"):
        save_model(run / "checkpoints" / f"{name}.safetensors", tiny_model)
    metrics = b"\n".join(json.dumps(LINE | {"epoch": epoch}).encode() for epoch in (1, 2)) + b"\n"
    good = {
        "metrics.jsonl": metrics,
        "config.yaml": to_yaml(config).encode(),
        "model.safetensors": (run / "model.safetensors").read_bytes(),
    }
    mutators = {
        "metrics.jsonl": mutate_json_lines,
        "config.yaml": mutate_yaml,
        "model.safetensors": mutate_header,
    }

    def mutate_one(content: bytes, chance: random.Random) -> bytes:
        name, _, body = content.partition(b"\n")
        return name + b"\n" + mutators[name.decode()](body, chance)

    def read(content: bytes) -> None:
        name, _, body = content.partition(b"\n")
        for file, kept in good.items():
            (run / file).write_bytes(body if file == name.decode() else kept)
        faults: list[AsrError] = []
        for use in (
            lambda: inspect(run),
            lambda: best_checkpoints(run, 1),
            lambda: model_to_start_from(str(run / "model.safetensors"), config),
            lambda: open_run(run, config, "auto"),
        ):
            try:
                use()
            except AsrError as error:
                faults.append(error)
        if faults:
            raise max(faults, key=lambda fault: len(str(fault)))

    campaign("run folder", [f"{file}\n".encode() + body for file, body in good.items()], read, [mutate_one])
