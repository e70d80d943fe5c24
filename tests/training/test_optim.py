import math

import pytest
import torch

from asr_seq2seq.training.optim import Schedule, build_optimizer
from asr_seq2seq.training_config import TrainingConfig


def _schedule(**settings: object) -> Schedule:
    config = TrainingConfig.model_validate({"learning_rate": 0.1, "warmup_steps": 10, **settings})
    return Schedule(config, build_optimizer(config, [torch.nn.Parameter(torch.zeros(1))]))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta"])
def test_every_optimizer_lowers_a_parabola(name: str) -> None:
    rate = 1.0 if name == "adadelta" else 0.05
    config = TrainingConfig(optimizer=name, learning_rate=rate, weight_decay=0.0)
    x = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = build_optimizer(config, [x])
    for _ in range(50):
        optimizer.zero_grad()
        (x**2).sum().backward()
        optimizer.step()
    assert abs(x.item()) < 3.0


def test_the_rate_warms_up_linearly_then_follows_half_a_cosine() -> None:
    schedule = _schedule(schedule="cosine")
    for step in range(1, 11):
        schedule.before_step(0.0)
        assert schedule.rate == pytest.approx(0.1 * step / 10)
    for progress in (0.25, 0.5, 0.75, 1.0):
        schedule.before_step(progress)
        assert schedule.rate == pytest.approx(0.05 * (1 + math.cos(math.pi * progress)))


def test_a_plateau_lowers_the_rate_after_its_patience() -> None:
    schedule = _schedule(schedule="plateau", warmup_steps=0, plateau_patience=1, plateau_factor=0.5)
    rates = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.8, 0.9, 0.9):
        schedule.before_step(0.0)
        rates.append(schedule.rate)
        schedule.after_epoch(loss)
    schedule.before_step(0.0)
    rates.append(schedule.rate)
    assert rates == pytest.approx([0.1] * 4 + [0.05] * 3 + [0.025])
