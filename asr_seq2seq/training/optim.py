"""Optimizers by name, and the learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer

from asr_seq2seq.training_config import OptimizationConfig


def build_optimizer(config: OptimizationConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer that the recipe names, in its fastest implementation."""
    rate, decay = config.learning_rate, config.weight_decay
    match config.optimizer:
        case "sgd":
            return SGD(parameters, rate, momentum=config.momentum, weight_decay=decay, fused=True)
        case "adam":
            return Adam(parameters, rate, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(parameters, rate, weight_decay=decay, fused=True)
        case "adadelta":
            return Adadelta(parameters, rate, weight_decay=decay)


def autocast(config: OptimizationConfig, device: torch.device) -> torch.autocast:
    """In which type the forward pass computes, as the recipe and the device have it."""
    lower = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=lower)


class Schedule:
    """Linear warm-up over steps; then half a cosine over the run, or smaller on each plateau."""

    def __init__(self, config: OptimizationConfig, optimizer: Optimizer) -> None:
        self.config = config
        self.optimizer = optimizer
        self.steps = 0
        self.plateau_scale = 1.0
        self.best = math.inf
        self.epochs_without_better = 0

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, float]:
        """Its state, for resuming later."""
        names = ("steps", "plateau_scale", "best", "epochs_without_better")
        return {name: getattr(self, name) for name in names} | {"rate": self.rate}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up what `state_dict` gave."""
        for name, value in state.items():
            if name != "rate":
                setattr(self, name, value)
        for group in self.optimizer.param_groups:
            group["lr"] = state["rate"]

    def before_step(self, progress: float) -> None:
        """Set the rate; `progress` is the part of the run that is done, 0 to 1."""
        self.steps += 1
        scale = min(1.0, self.steps / max(1, self.config.warmup_steps))
        if self.config.schedule == "cosine":
            scale *= 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        else:
            scale *= self.plateau_scale
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * scale

    def after_epoch(self, dev_loss: float) -> None:
        """Lower the rate after `plateau_patience` epochs without a better dev loss."""
        if dev_loss < self.best:
            self.best, self.epochs_without_better = dev_loss, 0
            return
        self.epochs_without_better += 1
        if self.epochs_without_better > self.config.plateau_patience:
            self.plateau_scale *= self.config.plateau_factor
            self.epochs_without_better = 0
