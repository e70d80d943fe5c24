from asr_seq2seq.textgrid import to_textgrid
from asr_seq2seq.transcript import Segment, Transcript, Word


def _tier(text: str, number: int) -> list[tuple[float, float, str]]:
    part = text.split("    item [")[number]
    values = [line.partition(" = ")[2] for line in part.splitlines() if line.startswith("            ")]
    return [(float(a), float(b), c) for a, b, c in zip(values[::3], values[1::3], values[2::3], strict=True)]


def test_intervals_fill_the_tiers() -> None:
    words = (Word("so", 0.5, 1.0, None), Word('"no"', 1.2, 1.3, 0.9), Word("?", None, None, None))
    segment = Segment(0, 0.5, 1.3, 'so "no"', (), 0.0, words)
    text = to_textgrid(Transcript('so "no"', (segment,), None, 2.0))
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2\n')
    assert _tier(text, 1) == [(0, 0.5, '""'), (0.5, 1.3, '"so ""no"""'), (1.3, 2, '""')]
    assert _tier(text, 2) == [
        (0, 0.5, '""'), (0.5, 1.0, '"so"'), (1.0, 1.2, '""'), (1.2, 1.3, '"""no"""'), (1.3, 2, '""'),
    ]  # fmt: skip


def test_nothing_overlaps_and_nothing_is_empty() -> None:
    words = (Word("a", 0.2, 0.6, None), Word("b", 0.5, 0.9, None), Word("c", 0.9, 0.9, None))
    text = to_textgrid(Transcript("a b c", (Segment(0, 0.2, 0.9, "a b c", (), 0.0, words),), None, 1.0))
    assert _tier(text, 2) == [(0, 0.2, '""'), (0.2, 0.6, '"a"'), (0.6, 0.9, '"b"'), (0.9, 1, '""')]
    assert _tier(to_textgrid(Transcript("", (), None, 1.0)), 1) == [(0, 1, '""')]
