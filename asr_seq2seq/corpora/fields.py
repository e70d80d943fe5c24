"""Types of what JSON from elsewhere says of an utterance, and the first fault in it as a sentence."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, ValidationError

from asr_seq2seq.corpora.lines import LONGEST_SECONDS, MOST_CHANNELS, shown

LONGEST_NAME, LONGEST_TEXT = 1_000, 1_000_000  # characters


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text of whole characters") from None
    return value


def _file(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError("must be text or a number")
    return str(value)


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_text)]
Label = Annotated[str, Field(max_length=LONGEST_NAME)]
# Of no pydantic type: names of files need not be UTF-8, and Python then puts surrogates in them.
FileName = Annotated[str, PlainValidator(_file)]
Name = Annotated[str, PlainValidator(_name), Field(max_length=LONGEST_NAME)]
Seconds = Annotated[float, Field(ge=0, lt=LONGEST_SECONDS)]
Duration = Annotated[float, Field(ge=1e-9, lt=LONGEST_SECONDS)]
Channel = Annotated[int, Field(ge=0, lt=MOST_CHANNELS)]


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, as `key`, what it must be, and what it is."""
    problem: Any = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"the key `{shown(name)}` is missing"
    if problem["type"] in ("model_type", "dict_type"):
        what = f"`{shown(name)}`" if name else "it"
        return f"{what} must be an object, not {shown(repr(problem['input'])[:1000], 40)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = shown(message[:1].lower() + message[1:], 120)
    return f"`{shown(name)}` {message}, not {shown(repr(problem['input'])[:1000], 40)}"
