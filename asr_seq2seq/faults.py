"""What is wrong with a value from elsewhere, which pydantic has checked, as a part of a sentence."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, ValidationError

from asr_seq2seq.errors import shown


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


# Of no pydantic type: names of files need not be UTF-8, and Python then puts surrogates in them.
AnyText = Annotated[str, PlainValidator(_any_text)]


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, as `key`, what it must be, and what it is."""
    problem: Any = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"the key `{shown(name)}` is missing"
    if problem["type"] in ("model_type", "dict_type", "dataclass_type"):
        what = f"`{shown(name)}`" if name else "it"
        return f"{what} must be an object, not {shown(repr(problem['input'])[:1000], 40)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = shown(message[:1].lower() + message[1:], 120)
    return f"`{shown(name)}` {message}, not {shown(repr(problem['input'])[:1000], 40)}"
