"""What the tools that train several models share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from asr_seq2seq.model.files import ModelFile, load_model
from asr_seq2seq.recipes import load_config
from asr_seq2seq.training.fit import train


def train_on(corpora: Iterable[Path], config: Path, settings: Sequence[str], run: Path) -> ModelFile:
    """The best model of the recipe `config` with these settings and these corpora in place of its own.

    KeyboardInterrupt where the run was asked to stop; it goes on when it is called again.
    """
    sources = json.dumps([str(corpus) for corpus in corpora])
    result = train(load_config(config, [*settings, f"data.train={sources}"]), run)
    if result.stopped:
        raise KeyboardInterrupt
    return load_model(result.model)
