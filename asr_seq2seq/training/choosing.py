"""Which recipe suits a corpus of some size, and what training and dev utterances have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from asr_seq2seq.corpora import Utterance

_SMALL_HOURS, _LARGE_HOURS = 20.0, 200.0


@dataclass(frozen=True)
class Choice:
    """The name of a bundled recipe and, in a few words, why."""

    recipe: str
    reason: str


def choose_recipe(hours: float) -> Choice:
    """The bundled recipe for a corpus of so many hours that nothing else is known of."""
    if hours < _SMALL_HOURS:
        return Choice("english_finetune", f"{hours:.2f} h is little: it starts from the model english")
    if hours < _LARGE_HOURS:
        return Choice("librispeech_100", f"{hours:.0f} h is enough to train from random weights")
    return Choice("librispeech_960", f"{hours:.0f} h is enough for a large network")


def shared(train: Sequence[Utterance], dev: Sequence[Utterance]) -> list[str]:
    """What both sets hold of the same, each a part of a sentence; empty where they are apart."""
    found = []
    speakers = {one.speaker for one in train} & {one.speaker for one in dev} - {None}
    if speakers:
        found.append(f"{len(speakers)} speaker{'s' * (len(speakers) > 1)}")
    texts = {one.text for one in train}
    same_text = sum(one.text in texts for one in dev)
    if same_text:
        found.append(f"the sentences of {same_text} of {len(dev)} dev utterances")
    sounds = {_place(one) for one in train} - {None}
    same_sound = sum(_place(one) in sounds for one in dev)
    if same_sound:
        found.append(f"the sound of {same_sound} of {len(dev)} dev utterances")
    return found


def _place(one: Utterance) -> tuple[str, float] | None:
    """Where its sound begins; resolving links would take minutes for a large corpus."""
    if not isinstance(one.sound, str):
        return None
    return os.path.abspath(one.sound), one.start  # noqa: PTH100
