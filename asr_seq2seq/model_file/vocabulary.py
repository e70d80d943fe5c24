"""How many words a model was trained on, as its file tells, and which where they are few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

FEW_WORDS = 100  # a model of more is not taken for one of a small vocabulary
_KEY = "vocabulary"
_Word = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Vocabulary(BaseModel):
    """The number of different words in the training texts, and the words where there are few."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)

    size: int = Field(ge=1)
    words: list[_Word] = Field([], max_length=FEW_WORDS)

    @property
    def is_small(self) -> bool:
        """Whether the model can mean no more than a few words."""
        return self.size <= FEW_WORDS


def vocabulary_of(texts: Iterable[str], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What provenance says of the words of normalized texts, ready for JSON; nothing where there are none.

    `before` is the provenance of the model whose training is continued: its words count too, and where it
    does not tell them, nothing is said.
    """
    words = {word for text in texts for word in text.split()}
    if before is not None:
        known = vocabulary(before)
        if known is None or not known.is_small:
            return {_KEY: {"size": max(known.size, len(words)), "words": []}} if known else {}
        words.update(known.words)
    few = sorted(words) if len(words) <= FEW_WORDS else []
    return {_KEY: {"size": len(words), "words": few}} if words else {}


def vocabulary(provenance: Mapping[str, Any]) -> Vocabulary | None:
    """The vocabulary that a model file tells of; None where it does not. ValueError where it is damaged."""
    if _KEY not in provenance:
        return None
    try:
        return Vocabulary.model_validate(provenance[_KEY])
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, (_KEY, *problem["loc"])))
        raise ValueError(f"{place}: {problem['msg'][:1].lower()}{problem['msg'][1:]}") from None
