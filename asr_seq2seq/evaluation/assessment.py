"""Everything that is to be known of one system's hypotheses: rates, intervals, and groups of utterances."""

import difflib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.intervals import Interval, Sampling, ratio_interval, sampling
from asr_seq2seq.evaluation.normalizers import TextNormalizer
from asr_seq2seq.evaluation.wer import Judged, Score, judge, score, total
from asr_seq2seq.text.normalizer import Normalizer

LENGTH = "length"
_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)  # words; the first of each group of lengths
_MISSING = "(not given)"


@dataclass(frozen=True)
class Intervals:
    """The 95 % intervals of three rates; None where there is too little to tell, or too few speakers."""

    wer: Interval | None
    cer: Interval | None
    ser: Interval | None


@dataclass(frozen=True)
class Group:
    """The utterances that have one value of a key."""

    name: str
    score: Score
    wer_interval: Interval | None


@dataclass(frozen=True)
class Assessment:
    """The score of a system with its intervals; ``judged[i]`` belongs to ``lines[i]``.

    ``raw`` is the score of the texts as they are, without normalization. ``groups`` has for each key its
    values in order, and always the key ``length``, the number of words in the reference.
    """

    lines: Sequence[HypothesisLine]
    judged: Sequence[Judged]
    score: Score
    raw: Score
    intervals: Intervals
    units: Sampling
    groups: dict[str, list[Group]]
    normalizer: str

    def to_dict(self) -> dict[str, Any]:
        """Return figures for JSON; rates are fractions."""
        return {
            **self.score.to_dict(),
            "wer_interval": _ends(self.intervals.wer),
            "cer_interval": _ends(self.intervals.cer),
            "ser_interval": _ends(self.intervals.ser),
            "interval_level": 0.95,
            "interval_over": self.units.unit,
            "interval_units": self.units.count,
            "interval_speakers": self.units.speakers or None,
            "interval_trusted": self.units.trusted,
            "normalizer": self.normalizer,
            "raw": self.raw.to_dict(),
            "groups": {
                key: {
                    group.name: {**group.score.to_dict(), "wer_interval": _ends(group.wer_interval)}
                    for group in groups
                }
                for key, groups in self.groups.items()
            },
        }

    def describe(self, shown: Iterable[str] = ()) -> str:
        """Return the figures as lines to read, with a table for each key in ``shown``."""
        score, raw = self.score, self.raw
        lines = [
            f"WER {score.wer:.2%}{_bracket(self.intervals.wer)}  ({score.substitutions} substitutions, "
            f"{score.insertions} insertions, {score.deletions} deletions in {score.words:,} words)",
            f"CER {score.cer:.2%}{_bracket(self.intervals.cer)}  "
            f"({score.character_edits} of {score.characters:,} characters)",
            f"SER {score.ser:.2%}{_bracket(self.intervals.ser)}  "
            f"({score.sentence_errors} of {score.utterances:,} utterances)",
            f"MER {score.mer:.2%}, WIL {score.wil:.2%}; without normalization WER {raw.wer:.2%}, "
            f"CER {raw.cer:.2%}",
            f"{self.units.describe()}; texts normalized by {self.normalizer}",
        ]
        if score.empty_references:
            lines.append(
                f"{score.empty_references:,} references are empty after normalization; words "
                "recognized there are insertions"
            )
        for key in shown:
            rows = [
                (
                    printable(group.name),
                    f"{group.score.utterances:,}",
                    f"{group.score.words:,}",
                    f"{group.score.wer:.2%}",
                    _bracket(group.wer_interval).strip(),
                )
                for group in self.groups[key]
            ]
            lines += ["", *_table((key, "utterances", "words", "WER", "95 % interval"), rows)]
        return "\n".join(lines)


def assess(
    lines: Sequence[HypothesisLine], normalizer: TextNormalizer, *, by: Iterable[str] = ()
) -> Assessment:
    """Score the hypotheses of ``lines`` and tell how far the rates may be off.

    ``by`` names keys of the corpus, or ``speaker`` or ``length``. ``CorpusError`` if there are no lines,
    ``ConfigError`` for a key that no line has.
    """
    by = list(by)
    check_keys(by, lines)
    references, hypotheses = [line.reference for line in lines], [line.hypothesis for line in lines]
    judged = judge(references, hypotheses, normalizer)
    units = sampling([line.speaker for line in lines])
    scores = [one.score for one in judged]
    groups = {key: _by_key(key, lines, judged) for key in dict.fromkeys((*by, LENGTH))}
    return Assessment(
        lines=lines,
        judged=judged,
        score=total(scores),
        raw=score(references, hypotheses, Normalizer.named("none")),
        intervals=Intervals(
            wer=_interval(units, [(one.errors, one.words) for one in scores]),
            cer=_interval(units, [(one.character_edits, one.characters) for one in scores]),
            ser=_at_most_one(_interval(units, [(one.sentence_errors, 1) for one in scores])),
        ),
        units=units,
        groups=groups,
        normalizer=normalizer.name,
    )


def check_keys(by: Iterable[str], lines: Iterable[HypothesisLine]) -> None:
    """Raise ``ConfigError`` for a key that no line has, naming the nearest that is there."""
    known = {LENGTH}
    for line in lines:
        known |= line.keys.keys() | ({"speaker"} if line.speaker is not None else set())
    for key in by:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f'--by {key}: no utterance has this key; did you mean "{nearest}"? '
                f"(available: {', '.join(sorted(known))})"
            )


def printable(text: str) -> str:
    """Return the text with every control character as a space: safe to print on a terminal."""
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def _interval(units: Sampling, counts: Sequence[tuple[int, int]]) -> Interval | None:
    if not units.trusted:
        return None
    errors, totals = zip(*counts, strict=True)
    return ratio_interval(units.sums(errors), units.sums(totals))


def _at_most_one(interval: Interval | None) -> Interval | None:
    return interval and replace(interval, high=min(1.0, interval.high))


def _by_key(key: str, lines: Sequence[HypothesisLine], judged: Sequence[Judged]) -> list[Group]:
    members: dict[Any, list[int]] = {}
    for number, (line, one) in enumerate(zip(lines, judged, strict=True)):
        members.setdefault(_value(key, line, one), []).append(number)
    found = []
    for value in sorted(members, key=_order):
        scores = [judged[number].score for number in members[value]]
        units = sampling([lines[number].speaker for number in members[value]])
        interval = _interval(units, [(one.errors, one.words) for one in scores])
        found.append(Group(_name(key, value), total(scores), interval))
    return found


def _value(key: str, line: HypothesisLine, one: Judged) -> str | int | float | None:
    if key == LENGTH:
        return max((first for first in _LENGTHS if first <= one.score.words), default=0)
    return line.speaker if key == "speaker" else line.keys.get(key)


def _order(value: str | int | float | None) -> tuple[int, float, str]:
    """Numbers in their order, then texts, then what is not given."""
    if isinstance(value, int | float):
        return 0, value, ""
    return (2, 0.0, "") if value is None else (1, 0.0, value)


def _name(key: str, value: str | int | float | None) -> str:
    if value is None:
        return _MISSING
    if key != LENGTH or value == 0:
        return value if isinstance(value, str) else json.dumps(value)
    assert isinstance(value, int)
    following = [first for first in _LENGTHS if first > value]
    last = following[0] - 1 if following else None
    return f"{value}" if last == value else f"{value}+" if last is None else f"{value}–{last}"


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else interval.to_list()


def _bracket(interval: Interval | None) -> str:
    return "" if interval is None else f" [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns under their heads, the first flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
