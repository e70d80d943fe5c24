"""Seeded mutations of small files, and the campaign that holds a reader to its promises.

A mutator takes the bytes of a file and a ``random.Random`` and returns changed bytes. `campaign` calls a
reader on many mutations in this process: it may return or raise an ``AsrError`` with one short line; any
other exception, more than 10 seconds, or more than 1 GB of memory is a failure.

    def test_recipes(campaign, tmp_path):
        path = tmp_path / "recipe.yaml"

        def read(content: bytes) -> None:
            path.write_bytes(content)
            load_config(path)

        campaign("recipe", [b"seed: 1"], read, [mutate_yaml, mutate_bytes])

`campaign` as a fixture (tests/fuzz/conftest.py) fills in the count: 100, and with ``-m slow`` 2,000 or
what ``--count`` says.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from asr_seq2seq.errors import AsrError

Mutator = Callable[[bytes, random.Random], bytes]

LONGEST_MESSAGE = 300  # characters
LONGEST_SECONDS = 10.0
MOST_BYTES = 1_000_000_000

INTEGERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 10**30)
NUMBERS = (*INTEGERS, 0.5, -0.5, 1e-320, 1e308, -1e308, 5e-324, 1e15, 10**400)
TEXTS = (
    "",
    " ",
    "x" * 300,
    "y" * 140_000,
    "\x00",
    "\x1b[31mred\x07",
    "line\nline\r\nline",
    "‮‏⁦bidirectional",
    "\ud800",
    "é" * 20,
    "null",
    "nan",
    "inf",
    "-Infinity",
    "1e999",
    "0x10",
    "1_000",
    "12:30:45",
    "2001-02-30",
    "../../../../etc/passwd",
    "/dev/zero",
    "pipe:touch canary |",
    "http://127.0.0.1:9/x",
    "${HOME}",
    "a,b\tc;d|e",
    "'\"`",
    "<<",
    "*a",
    "&a",
    "!!python/object/apply:os.system [touch canary]",
)


def strange_value(chance: random.Random) -> Any:
    """A value that a reader did not expect: of another type, size or depth."""
    match chance.randrange(8):
        case 0:
            return None
        case 1:
            return chance.choice((True, False))
        case 2 | 3:
            return chance.choice(NUMBERS)
        case 4:
            return chance.choice(TEXTS)
        case 5:
            return chance.choice(([], {}, [None], [[]], {"": None}, {"a": {"b": {}}}, [0] * 1000))
        case 6:
            return float(chance.choice(("nan", "inf", "-inf")))
        case _:
            value: Any = chance.choice(NUMBERS)
            for _ in range(chance.choice((1, 2, 20, 200))):
                value = [value] if chance.random() < 0.5 else {"a": value}
            return value


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container below `tree` with each of its keys."""
    todo = [tree]
    while todo:
        node = todo.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            if isinstance(node[key], dict | list):
                todo.append(node[key])


def mutate_tree(tree: Any, chance: random.Random) -> Any:
    """The value of a JSON or YAML text with one to three things in it changed; `tree` itself is kept."""
    tree = json.loads(json.dumps(tree, default=str))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if not isinstance(tree, dict | list) or not tree or chance.random() < 0.02:
            tree = strange_value(chance)
            continue
        node, key = chance.choice(list(_places(tree)))
        match chance.randrange(8):
            case 0 | 1 | 2 | 3:
                node[key] = strange_value(chance)
            case 4:
                del node[key]
            case 5:  # under another name, or once more
                if isinstance(node, dict):
                    node[chance.choice((*TEXTS[:3], str(key) + "x", str(key).upper()))] = node.pop(key)
                else:
                    node.insert(chance.randrange(len(node) + 1), node[key])
            case 6:  # what stands elsewhere, which may be of another type
                other, place = chance.choice(list(_places(tree)))
                node[key] = json.loads(json.dumps(other[place]))
            case _:
                value = node[key]
                if isinstance(value, int | float) and not isinstance(value, bool):
                    part = value / 7 if abs(value) < 1e300 else value // 7  # an integer may be no float
                    node[key] = chance.choice((-value, value * 10, value * 10**9, part, str(value)))
                elif isinstance(value, str):
                    node[key] = chance.choice(
                        (value * 1000, value[:-1], [value], value + "\x00", value[::-1])
                    )
                else:
                    node[key] = chance.choice(([value], {"a": value}, str(value)))
    return tree


def _dump(tree: Any) -> bytes:
    # surrogatepass: what is not UTF-8 is a fault that readers meet too
    text = json.dumps(tree, ensure_ascii=False, default=str)
    return text.encode("utf-8", "surrogatepass")


def mutate_json(content: bytes, chance: random.Random) -> bytes:
    """One JSON text with its structure changed; now and then its text."""
    sometimes = chance.random()
    if sometimes < 0.1:
        return mutate_bytes(content, chance)
    if sometimes < 0.12:
        depth = chance.choice((100, 1000, 100_000))
        return chance.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth))
    tree = mutate_tree(json.loads(content), chance)
    changed = _dump(tree)
    if sometimes < 0.16 and isinstance(tree, dict) and tree:  # a key twice
        key = chance.choice(list(tree))
        changed = b"{" + _dump(key) + b": " + _dump(strange_value(chance)) + b", " + changed[1:]
    return changed


def mutate_json_lines(content: bytes, chance: random.Random) -> bytes:
    """JSON lines of which one is changed, dropped, doubled or cut."""
    lines = content.splitlines()
    if not lines or chance.random() < 0.15:
        return mutate_lines(content, chance)
    number = chance.randrange(len(lines))
    lines[number] = mutate_json(lines[number], chance)
    return b"\n".join(lines) + b"\n"


_YAML_PIECES = (
    b"&a [*a, *a]",
    b"!!binary aGVsbG8=",
    b"!!set {a, b}",
    b"!!omap [a: 1]",
    b"!!timestamp 2001-12-14t21:59:43.10-05:00",
    b"2001-12-14",
    b"12:30:45",
    b"0o17",
    b"0x1F",
    b"1_000",
    b".inf",
    b".nan",
    b"!!python/object/apply:os.system ['touch canary']",
    b"!!python/name:os.system",
    b"!unknown x",
    b"~",
    b"yes",
    b"<<: *x",
    b"<<: {a: 1}",
    b"? [a, b]\n: c",
    b"---\n",
    b"...\n",
    b"%YAML 9.9\n---\n",
    b"\t",
    b"|\n  text",
    b"'",
    b"[",
    b"{",
    b"1" * 5000,
    b"[" * 3000,
    b"{a: " * 3000,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x85",
)


def mutate_yaml(content: bytes, chance: random.Random) -> bytes:
    """A YAML text with its structure changed, or with special forms of YAML put in."""
    sometimes = chance.random()
    if sometimes < 0.1:
        return mutate_bytes(content, chance)
    if sometimes < 0.13:
        return alias_bomb(chance.choice((2, 5, 9, 20)))
    if sometimes < 0.4:
        lines = content.split(b"\n")
        number = chance.randrange(len(lines))
        head, colon, _ = lines[number].partition(b":")
        piece = chance.choice(_YAML_PIECES)
        lines[number] = chance.choice((head + colon + b" " + piece, piece, lines[number] + piece))
        return b"\n".join(lines)
    tree = mutate_tree(yaml.safe_load(content), chance)
    if chance.random() < 0.5:
        return _dump(tree)
    with contextlib.suppress(RecursionError, ValueError):
        return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    return _dump(tree)


def alias_bomb(levels: int) -> bytes:
    """YAML of a few lines that stands for 9 ** `levels` values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines).encode()


_SEPARATORS = (b",", b"\t", b" ", b";", b"|", b"-->")


def mutate_lines(content: bytes, chance: random.Random) -> bytes:
    """A text of lines and fields (CSV, TSV, Kaldi, subtitles) with fields, lines or ends changed."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        lines = content.split(b"\n")
        number = chance.randrange(len(lines))
        match chance.randrange(9):
            case 0 | 1 | 2 | 3:
                separator = chance.choice([s for s in _SEPARATORS if s in lines[number]] or [b","])
                fields = lines[number].split(separator)
                value = strange_value(chance)
                text = value if isinstance(value, str) else str(value)
                fields[chance.randrange(len(fields))] = text[:200_000].encode("utf-8", "surrogatepass")
                if chance.random() < 0.2:
                    del fields[chance.randrange(len(fields))]
                lines[number] = separator.join(fields)
            case 4:
                del lines[number]
            case 5:
                lines.insert(chance.randrange(len(lines) + 1), lines[number])
            case 6:
                other = chance.randrange(len(lines))
                lines[number], lines[other] = lines[other], lines[number]
            case 7:
                special = (
                    b"\xef\xbb\xbf",
                    b"\xff\xfe",
                    b"\x00",
                    b'"',
                    b'""',
                    b"'",
                    b"\r",
                    b"\x1a",
                    b"\x85",
                    b"#",
                )
                place = chance.randrange(len(lines[number]) + 1)
                lines[number] = lines[number][:place] + chance.choice(special) + lines[number][place:]
            case _:
                content = mutate_bytes(content, chance)
                continue
        content = chance.choice((b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r")).join(lines)
    return content


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """One to four changes of bytes: bits, pieces dropped, doubled, moved, and integers at their limits."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        place = chance.randrange(len(changed) + 1)
        length = min(len(changed) - place, chance.choice((1, 2, 4, 16, 100, 1000)))
        match chance.randrange(9):
            case 0 | 1:
                if place < len(changed):
                    changed[place] ^= 1 << chance.randrange(8)
            case 2:
                if place < len(changed):
                    changed[place] = chance.randrange(256)
            case 3:
                changed[place:place] = chance.randbytes(chance.choice((1, 2, 8, 100)))
            case 4:
                del changed[place : place + length]
            case 5:
                changed[place:place] = changed[place : place + length] * chance.choice((1, 2, 50))
            case 6:
                del changed[place:]
            case 7:  # a piece over another place
                other = chance.randrange(len(changed) + 1)
                changed[other : other + length] = changed[place : place + length]
            case _:
                size = chance.choice((1, 2, 4, 8))
                number = chance.choice(INTEGERS) % 256**size
                changed[place : place + size] = number.to_bytes(size, chance.choice(("little", "big")))
    return bytes(changed)


@dataclass
class Outcome:
    """What a campaign counted; `failures` are texts, each with the number of its mutation."""

    name: str
    mutations: int = 0
    read: int = 0
    refused: int = 0
    longest_message: int = 0
    slowest_seconds: float = 0.0
    most_megabytes: float = 0.0
    failures: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table in docs/reliability.md."""
        return (
            f"| {self.name} | {self.mutations:,} | {self.read:,} | {self.refused:,} | {len(self.failures)} | "
            f"{self.longest_message} | {self.slowest_seconds:.1f} | {self.most_megabytes:.0f} |"
        )


class TooSlow(BaseException):
    """A read took longer than it may; no handler of the reader catches this."""


def campaign(
    name: str,
    seeds: Sequence[bytes],
    read: Callable[[bytes], object],
    mutators: Sequence[Mutator],
    count: int,
    first: int = 0,
) -> Outcome:
    """Call `read` on `count` mutations of `seeds`, and AssertionError if one breaks a promise.

    Mutation number n is ``mutation(seeds, mutators, n)``, so a failure can be made again alone.
    """
    outcome = Outcome(name)
    places = set()
    for number in range(first, first + count):
        content = mutation(seeds, mutators, number)
        began, failure, place = time.monotonic(), "", ""
        with _limits() as memory:
            try:
                read(content)
                outcome.read += 1
            except AsrError as error:
                outcome.refused += 1
                message = str(error)
                outcome.longest_message = max(outcome.longest_message, len(message))
                if len(message) > LONGEST_MESSAGE or len(message.splitlines()) != 1:
                    failure = f"a message of {len(message)} characters: {message[:400]!r}"
                    place = _place(error)
            except (Exception, TooSlow) as error:
                failure, place = f"{type(error).__name__}: {str(error)[:300]}", _place(error)
        seconds = time.monotonic() - began
        outcome.slowest_seconds = max(outcome.slowest_seconds, seconds)
        outcome.most_megabytes = max(outcome.most_megabytes, memory[0] / 1e6)
        if not failure and (seconds > LONGEST_SECONDS or memory[0] > MOST_BYTES):
            failure = f"{seconds:.1f} s and {memory[0] / 1e6:.0f} MB"
        if failure:
            first_of_kind = "" if place in places else f" at {place}"
            places.add(place)
            outcome.failures.append(f"mutation {number}: {failure}{first_of_kind}")
        outcome.mutations += 1
    told = sorted(outcome.failures, key=lambda text: " at " not in text)[:20]
    assert not outcome.failures, f"{name}: {len(outcome.failures)} of {count} failed\n" + "\n".join(told)
    return outcome


def mutation(seeds: Sequence[bytes], mutators: Sequence[Mutator], number: int) -> bytes:
    """The mutation of that number."""
    chance = random.Random(number)
    return chance.choice(mutators)(chance.choice(seeds), chance)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "asr_seq2seq" in frame.filename] or frames
    return " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in (frames[-1], *reversed(ours[-3:])))


@contextlib.contextmanager
def _limits() -> Iterator[list[int]]:
    """Stop what takes too long or asks for too much; gives a list with the growth of memory in bytes."""

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {LONGEST_SECONDS:g} s")

    growth = [0]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = _status("VmRSS")
    _reset_peak()
    handler = signal.signal(signal.SIGALRM, too_slow)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS + 2)
    if faulthandler.is_enabled():
        faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)
    # Threads reserve address space that they do not use: twice what may be used is a limit that only
    # absurd requests meet.
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + 2 * MOST_BYTES, hard))
    try:
        yield growth
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        faulthandler.cancel_dump_traceback_later()
        growth[0] = max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # where the system does not allow it, growth is that of the campaign
        Path("/proc/self/clear_refs").write_text("5")
