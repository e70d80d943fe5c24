"""A note where a model of few words is given speech that it cannot mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asr_seq2seq import bundled
from asr_seq2seq.errors import brief

if TYPE_CHECKING:
    from pathlib import Path

    from asr_seq2seq.inference.loading import LoadedModel
    from asr_seq2seq.transcript import Segment

UNSURE = 0.9  # a mean confidence of all words below this makes other speech likely
_SHOWN = 10  # words


class VocabularyNote:
    """What is to be said once, where sound is longer than all that was trained on, or words are unsure."""

    def __init__(self, path: Path | None, model: LoadedModel) -> None:
        self._vocabulary = model.vocabulary
        self._name = bundled.DEFAULT if path is None else str(path)
        self._longest = model.longest_seconds
        self._sure = 0.0
        self._words = 0
        self.told = self._vocabulary is None or not self._vocabulary.is_small

    def of_segment(self, segment: Segment, start: float) -> str | None:
        """The note where a sound, of which `start` is the first second, is longer than all of training."""
        known = [word.confidence for word in segment.words if word.confidence is not None]
        self._sure += sum(known)
        self._words += len(known)
        return self._note() if segment.end - start > self._longest else None

    def at_end(self, without_speech: bool = False) -> str | None:
        """The note where the words of all sounds were unsure, or a whole sound was taken for no speech."""
        unsure = self._words > 0 and self._sure / self._words < UNSURE
        return self._note() if unsure or without_speech else None

    def _note(self) -> str | None:
        if self.told or self._vocabulary is None:
            return None
        self.told = True
        words = self._vocabulary.words
        listed = f": {brief(', '.join(words), 80)}" if 0 < len(words) <= _SHOWN else ""
        count = "1 word" if self._vocabulary.size == 1 else f"{self._vocabulary.size} words"
        return (
            f"note: the model {brief(self._name, 80)} knows only {count}{listed}; "
            "for other speech choose another model, such as --model english"
        )
