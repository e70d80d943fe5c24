"""What a corpus, a model file or a run folder holds, as a table of names and values."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from asr_seq2seq.errors import AsrError, CorpusError


def inspect(path: Path) -> dict[str, Any]:
    """Facts about `path` that fit into JSON; its kind is told by its name."""
    if path.suffix == ".safetensors":
        return inspect_model(path)
    if path.is_dir() and (path / "metrics.jsonl").exists():
        return inspect_run(path)
    if not path.exists():
        raise AsrError(f"{path}: no such file or folder; give a corpus, a model file or a run folder")
    return inspect_corpus(path)


def inspect_model(path: Path) -> dict[str, Any]:
    """Size, shape, alphabet, normaliser and provenance of a model file."""
    from asr_seq2seq.model_file import load_model

    recogniser = load_model(path)
    model = recogniser.config.model
    return {
        "kind": "model file",
        "parameters": sum(p.numel() for p in recogniser.model.parameters()),
        "bytes": path.stat().st_size,
        "encoder": model.encoder.model_dump(mode="json"),
        "decoder": model.decoder.model_dump(mode="json"),
        "ctc_weight": model.ctc_weight,
        "features": recogniser.config.features.model_dump(mode="json"),
        "alphabet": recogniser.alphabet.characters,
        "normalizer": {recogniser.normalizer.name: recogniser.normalizer.describe()},
        "search": recogniser.config.search.model_dump(mode="json"),
        "provenance": recogniser.provenance,
    }


def inspect_run(path: Path) -> dict[str, Any]:
    """How far a run has come and its best epoch."""
    metrics = path / "metrics.jsonl"
    try:
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        epochs = [json.loads(line) for line in lines]
    except ValueError:
        raise AsrError(f"{metrics}: a line is not JSON; delete that line") from None
    facts: dict[str, Any] = {"kind": "run folder", "epochs": len(epochs)}
    if epochs:
        ranks = [name for name in ("dev_wer", "dev_cer", "dev_loss") if name in epochs[0]]
        best = min(epochs, key=lambda epoch: [math.inf if epoch[r] is None else epoch[r] for r in ranks])
        facts |= {"best": best, "last": epochs[-1]}
    if (path / "model.safetensors").exists() and "dev_wer" in facts.get("best", {}):
        facts["model"] = inspect_model(path / "model.safetensors")
    return facts


def inspect_corpus(path: Path) -> dict[str, Any]:
    """Hours, utterances, speakers, length percentiles and the characters of the texts."""
    from asr_seq2seq.corpora import load_corpus

    cuts = load_corpus(path)
    texts = [cut.supervisions[0].text for cut in cuts]
    if not any(texts):
        raise CorpusError(f"{path}: no utterance has text; add it under the key `text`")
    counts: dict[str, int] = {}
    for character in "".join(texts):
        counts[character] = counts.get(character, 0) + 1
    durations = [cut.duration for cut in cuts]
    return {
        "kind": "corpus",
        "utterances": len(cuts),
        "hours": round(sum(durations) / 3600, 3),
        "speakers": len({cut.supervisions[0].speaker for cut in cuts} - {None}),
        "seconds": _percentiles(durations),
        "characters_per_text": _percentiles([len(text) for text in texts]),
        "words": sum(len(text.split()) for text in texts),
        "characters": dict(sorted(counts.items(), key=lambda item: -item[1])),
    }


def _percentiles(values: list[float] | list[int]) -> dict[str, float]:
    points = (0, 5, 50, 95, 100)
    return {
        f"{point} %": round(float(v), 3)
        for point, v in zip(points, np.percentile(values, points), strict=True)
    }
