"""A page about one system's errors: one HTML file that opens offline and fetches nothing.

Rates, plots and confusions stand in it as they are; the table of utterances is drawn by the page's own script
from data in the page, fifty rows at a time. What the page may do is bound by a Content Security Policy.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from asr_seq2seq.evaluation.assessment import LENGTH, Assessment, Group, printable
from asr_seq2seq.evaluation.confusions import Confusion, character_confusions, word_confusions
from asr_seq2seq.evaluation.edits import DELETE, EQUAL, INSERT, SUBSTITUTE
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.intervals import Interval
from asr_seq2seq.evaluation.wer import Judged
from asr_seq2seq.files import atomic_write, to_json

MOST_BARS = 24  # groups in a plot
MOST_CONFUSIONS = 12
_KINDS = {EQUAL: "E", SUBSTITUTE: "S", DELETE: "D", INSERT: "I"}


@dataclass(frozen=True)
class Exhibit:
    """Sound and pictures of an utterance: MP3, and PNG pictures; None where there is none.

    ``attention`` has a row for each of ``characters`` and one for the end. ``heading`` says what
    ``features`` shows.
    """

    sound: bytes | None = None
    features: bytes | None = None
    heading: str = ""
    attention: bytes | None = None
    characters: str = ""


def worst(assessment: Assessment, most: int) -> list[str]:
    """Return the names of the ``most`` utterances with the most errors, the worst first."""
    pairs = zip(assessment.lines, assessment.judged, strict=True)
    ordered = sorted(pairs, key=lambda pair: (-pair[1].score.errors, -pair[1].score.character_edits))
    return [line.id for line, _ in ordered[:most]]


def write(
    path: Path,
    assessment: Assessment,
    about: Mapping[str, str],
    exhibits: Mapping[str, Exhibit] | None = None,
    *,
    title: str = "Speech recognition report",
) -> None:
    """Write the page; ``about`` says in words what was evaluated, ``exhibits`` are by the utterance's name.

    ``OutputError`` if it cannot be written.
    """
    shown = exhibits or {}
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    page = Template(_asset("report.html")).substitute(
        policy=policy,
        title=html.escape(printable(title)),
        style=style,
        script=script,
        about="".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in about.items()
        ),
        tiles=_tiles(assessment),
        note=_note(assessment),
        plots="".join(_plot(key, groups, assessment.score.wer) for key, groups in assessment.groups.items()),
        confusions=_confusions("Words", word_confusions(assessment.judged, MOST_CONFUSIONS))
        + _confusions("Characters", character_confusions(assessment.judged, MOST_CONFUSIONS)),
        footer=f"Texts normalized by {_text(assessment.normalizer)}; words aligned as by NIST's sclite.",
        data=_json(_rows(assessment, shown)),
        exhibits=_json([_exhibit(exhibit) for exhibit in shown.values()]),
    )
    # The one thing that UTF-8 cannot hold is half of a surrogate pair.
    with atomic_write(path, "wb") as file:
        file.write(page.encode("utf-8", "replace"))


def _asset(name: str) -> str:
    return files("asr_seq2seq.evaluation").joinpath("page", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _text(text: str) -> str:
    """Text for HTML, control characters as spaces, in any direction without a hold on its surroundings."""
    return f"<bdi>{html.escape(printable(text))}</bdi>" if text else ""


def _rows(assessment: Assessment, exhibits: Mapping[str, Exhibit]) -> list[dict[str, Any]]:
    numbers = {name: number for number, name in enumerate(exhibits)}
    rows = []
    for line, one in zip(assessment.lines, assessment.judged, strict=True):
        row = _row(line, one)
        if line.id in numbers:
            row |= {"exhibit": numbers[line.id], "audible": exhibits[line.id].sound is not None}
        rows.append(row)
    return rows


def _json(value: Any) -> str:
    """JSON for a script element, which only these could end or change."""
    return to_json(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _row(line: HypothesisLine, one: Judged) -> dict[str, Any]:
    sure = line.confidences
    return {
        "name": line.id,
        "speaker": line.speaker,
        "reference": line.reference,
        "hypothesis": line.hypothesis,
        "edits": [[_KINDS[edit.kind], edit.reference, edit.hypothesis] for edit in one.edits],
        "errors": one.score.errors,
        "words": one.score.words,
        "wer": _finite(one.score.wer),
        "cer": _finite(one.score.cer),
        "sure": round(sum(sure) / len(sure), 4) if sure else None,
        "confidences": [round(value, 3) for value in sure],
        "seconds": None if line.duration is None else round(line.duration, 2),
        "keys": dict(line.keys),
    }


def _exhibit(exhibit: Exhibit) -> dict[str, str]:
    parts = {"sound": exhibit.sound, "features": exhibit.features, "attention": exhibit.attention}
    encoded = {name: base64.b64encode(part).decode() for name, part in parts.items() if part is not None}
    return encoded | {"heading": exhibit.heading, "characters": exhibit.characters}


def _finite(rate: float) -> float | None:
    return round(rate, 5) if math.isfinite(rate) else None


def _tiles(assessment: Assessment) -> str:
    score, raw, intervals = assessment.score, assessment.raw, assessment.intervals
    return "".join(
        [
            _tile(
                "Word error rate",
                score.wer,
                intervals.wer,
                f"{score.errors:,} errors in {score.words:,} words: {score.substitutions:,} substitutions, "
                f"{score.insertions:,} insertions, {score.deletions:,} deletions",
                "tile main",
            ),
            _tile(
                "Character error rate",
                score.cer,
                intervals.cer,
                f"{score.character_edits:,} errors in {score.characters:,} characters",
            ),
            _tile(
                "Sentence error rate",
                score.ser,
                intervals.ser,
                f"{score.sentence_errors:,} of {score.utterances:,} utterances have an error",
            ),
            _tile("Match error rate", score.mer, None, f"word information lost {_percent(score.wil)}"),
            _tile("WER without normalization", raw.wer, None, f"CER without it {_percent(raw.cer)}"),
        ]
    )


def _tile(name: str, rate: float, interval: Interval | None, more: str, kind: str = "tile") -> str:
    bounds = "" if interval is None else f"95 % interval {_bounds(interval)}"
    return (
        f'<div class="{kind}"><div class="name">{name}</div><div class="rate">{_percent(rate)}</div>'
        f'<div class="more">{bounds}</div><div class="more">{more}</div></div>'
    )


def _note(assessment: Assessment) -> str:
    basis = assessment.units.describe()
    note = f"{basis[0].upper()}{basis[1:]}."
    if assessment.score.empty_references:
        note += (
            f" {assessment.score.empty_references:,} references are empty after normalization; words "
            "recognized there count as insertions."
        )
    return note


def _plot(key: str, groups: Sequence[Group], overall: float) -> str:
    """WER of each group as a dot with its interval, and the same as a table."""
    name = "number of words in the reference" if key == LENGTH else key
    kept = groups
    more = ""
    if len(groups) > MOST_BARS:
        kept = sorted(groups, key=lambda group: -_limited(group.score.wer))[:MOST_BARS]
        more = f" The {MOST_BARS} worst of {len(groups):,} are drawn."
    return (
        f"<figure><h3>WER by {_text(name)}</h3>{_picture(name, kept, overall)}"
        f'<figcaption class="note">Lines are 95 % intervals, dashed is the whole.{more}</figcaption>'
        f"<details><summary>As a table</summary>{_group_table(groups)}</details></figure>"
    )


def _picture(name: str, groups: Sequence[Group], overall: float) -> str:
    width, left, right, row = 460, 120, 58, 22
    ends = [group.wer_interval.high for group in groups if group.wer_interval] or [0.0]
    rates = [_limited(group.score.wer) for group in groups]
    # Intervals of small groups may be endless; what is compared are the rates.
    top = _nice(max(0.01, min(max(ends), 2.5 * max(*rates, overall, 0.004)), *rates, _limited(overall)))
    height = row * len(groups) + 30

    def across(rate: float) -> float:
        return round(left + (width - left - right) * min(rate, top) / top, 1)

    shapes = []
    for step in range(5):
        x = across(top * step / 4)
        shapes.append(f'<line class="axis" x1="{x}" x2="{x}" y1="4" y2="{height - 24}"/>')
        label = f"{100 * top * step / 4:.3g} %"
        shapes.append(f'<text class="faint" x="{x}" y="{height - 8}" text-anchor="middle">{label}</text>')
    x = across(_limited(overall))
    shapes.append(f'<line class="all" x1="{x}" x2="{x}" y1="4" y2="{height - 24}"/>')
    for number, group in enumerate(groups):
        y = 16 + row * number
        shown = printable(group.name)
        label = html.escape(shown if len(shown) <= 18 else shown[:17] + "…")
        shapes.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{label}</text>')
        if group.wer_interval is not None:
            low, high = across(group.wer_interval.low), across(group.wer_interval.high)
            shapes.append(f'<line class="whisker" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>')
        shapes.append(f'<circle class="dot" cx="{across(_limited(group.score.wer))}" cy="{y}" r="4.5"/>')
        count = f"{group.score.utterances:,} utt."
        shapes.append(f'<text class="faint" x="{width}" y="{y + 4}" text-anchor="end">{count}</text>')
    alternative = html.escape(f"Word error rate by {printable(name)}; the table below has the numbers")
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{alternative}">{"".join(shapes)}</svg>'
    )


def _nice(top: float) -> float:
    """The next larger number whose quarters are short to write."""
    power: float = 10.0 ** math.floor(math.log10(top))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= top * 0.999)


def _limited(rate: float) -> float:
    return min(rate, 9.99)


def _group_table(groups: Iterable[Group]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(group.name)}</th><td class="number">{group.score.utterances:,}</td>'
        f'<td class="number">{group.score.words:,}</td><td class="number">{_percent(group.score.wer)}</td>'
        f"<td>{_bounds(group.wer_interval)}</td></tr>"
        for group in groups
    )
    heads = ("", "utterances", "words", "WER", "95 % interval")
    return f'<table class="plain"><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr>{rows}</table>'


def _confusions(name: str, found: Sequence[Confusion]) -> str:
    if not found:
        return f'<div><h3>{name}</h3><p class="note">No errors.</p></div>'
    rows = "".join(
        f'<tr><td class="number">{confusion.count:,}</td><td>{_side(confusion.reference)}</td>'
        f"<td>{_side(confusion.hypothesis)}</td></tr>"
        for confusion in found
    )
    half = '<tr><th scope="col">times</th><th scope="col">reference</th><th scope="col">hypothesis</th></tr>'
    return f'<div><h3>{name}</h3><table class="plain">{half}{rows}</table></div>'


def _side(text: str) -> str:
    if not text:
        return '<span class="gap">(nothing)</span>'
    return _text(text) if text.strip() else '<span class="gap">(space)</span>'


def _bounds(interval: Interval | None) -> str:
    return "" if interval is None else f"{100 * interval.low:.2f} to {_percent(interval.high)}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f}\N{NO-BREAK SPACE}%" if math.isfinite(rate) else "endless"
