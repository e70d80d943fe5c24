"""Split a corpus into training, dev and test utterances that share no speaker, or no sentence."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from asr_seq2seq.corpora.parts import Part, write_part
from asr_seq2seq.corpora.reading import place_of
from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import ConfigError, CorpusError, OutputError
from asr_seq2seq.files import make_folder
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.text.normalizer import Normalizer

By = Literal["speaker", "sentence"]
_SAME_SENTENCE = Normalizer.named("english-v1")


def split(
    utterances: Sequence[Utterance], fractions: Mapping[str, float], *, by: By = "speaker", seed: int = 1
) -> dict[str, list[Utterance]]:
    """The utterances of `train` and of each part in `fractions`, in their order.

    What belongs together is never on two sides: the utterances of a speaker where that is known, and copies
    of the same sound, or else utterances of the same sentence (`by`). Each part gets about its fraction of
    the seconds and at least one group. The same seed gives the same parts.

    Raises ConfigError for fractions that leave nothing to train on, CorpusError for too few groups.
    """
    if any(not 0 <= part < 1 for part in fractions.values()) or sum(fractions.values()) >= 1:
        raise ConfigError("the fractions held out must be from 0 on and under 1 together: lower them")
    groups: dict[Hashable, list[Utterance]] = defaultdict(list)
    for one in utterances:
        groups[_group(one, by)].append(one)
    wanted = {name: part for name, part in fractions.items() if part > 0}
    if len(groups) <= len(wanted):
        kind = "speakers" if by == "speaker" else "sentences"
        other = "sentence" if by == "speaker" else "speaker"
        raise CorpusError(
            f"the number of {kind} is {len(groups)}, too few for {len(wanted) + 1} parts; hold out fewer, or "
            f"split by {other}"
        )
    seconds = {key: sum(one.duration for one in group) for key, group in groups.items()}
    left = sorted(groups, key=str)
    random.Random(seed).shuffle(left)
    chosen: dict[Hashable, str] = {}
    for number, (name, part) in enumerate(wanted.items()):
        most = len(left) - (len(wanted) - number)  # the other parts and training need groups too
        taken = _take(left, seconds, part * sum(seconds.values()))[:most]
        chosen |= dict.fromkeys(taken, name)
        left = [key for key in left if key not in chosen]
    parts: dict[str, list[Utterance]] = {name: [] for name in ("train", *wanted)}
    for one in utterances:
        parts[chosen.get(_group(one, by), "train")].append(one)
    return parts


def _take(keys: Sequence[Hashable], seconds: Mapping[Hashable, float], wanted: float) -> list[Hashable]:
    """Groups in their order that come near to the wanted seconds; at least the shortest."""
    taken, held = list[Hashable](), 0.0
    for key in keys:
        if abs(held + seconds[key] - wanted) < abs(held - wanted):
            taken.append(key)
            held += seconds[key]
    return taken or [min(keys, key=lambda key: seconds[key])]


def _group(utterance: Utterance, by: By) -> Hashable:
    """The key of the group that must stay on one side."""
    if by == "sentence":
        return _SAME_SENTENCE(utterance.text) or utterance.text
    if utterance.speaker is not None:
        return utterance.speaker
    return place_of(utterance), utterance.channel, utterance.start, utterance.duration


def write_split(parts: Mapping[str, Sequence[Utterance]], out: Path, read: Sequence[Path]) -> list[Part]:
    """Write each part as `out/PART.jsonl`, over none of the corpora that were `read`."""
    make_folder(out)
    paths = {name: out / f"{name}.jsonl" for name in parts}
    for path in (out / "dev.jsonl", out / "test.jsonl"):
        if path.exists() and path not in paths.values():
            raise OutputError(f"{path}: is left from another split; delete it, or give another folder")
    keep_inputs(paths.values(), read)
    return [write_part(paths[name], utterances) for name, utterances in parts.items()]
