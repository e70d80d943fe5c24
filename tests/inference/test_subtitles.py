import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_seq2seq.inference.subtitles import (
    CUE_LINES,
    CUE_MILLISECONDS,
    LINE_COLUMNS,
    Cue,
    columns,
    cues,
    wrap,
)
from asr_seq2seq.transcript import Segment, Transcript, Word
from asr_seq2seq.writers import to_srt, to_vtt

CHINESE = "今天天气很好我们去公园散步然后回家吃饭晚上看电影明天早上还要去学校上课下午打球"
JAPANESE = "今日は天気がいいので、公園へ散歩に行きました。それから家に帰って「ラーメン」を食べた。"
THAI = "วันนี้อากาศดีมากเราไปเดินเล่นที่สวนสาธารณะแล้วกลับบ้านกินข้าวตอนเย็นดูหนังกับน้ำแข็งเก่าเก่า"
LAO = "ມື້ນີ້ອາກາດດີຫຼາຍພວກເຮົາໄປຍ່າງຫຼິ້ນຢູ່ສວນສາທາລະນະແລ້ວກັບບ້ານກິນເຂົ້າ"
KHMER = "ថ្ងៃនេះអាកាសធាតុល្អណាស់យើងទៅដើរលេងនៅសួនច្បារបន្ទាប់មកត្រឡប់ទៅផ្ទះញ៉ាំបាយ"
BURMESE = "ဒီနေ့ရာသီဥတုကောင်းလို့ကျွန်တော်တို့ပန်းခြံကိုသွားပြီးအိမ်ပြန်ထမင်းစားတယ်"


def _one_segment(text: str, seconds: float, *words: Word) -> Transcript:
    return Transcript(text, (Segment(0, 0.0, seconds, text, (), 0.0, words),), None, seconds)


def _check_limits(found: list[Cue]) -> None:
    for cue in found:
        lines = wrap(cue.text).split("\n")
        assert len(lines) <= CUE_LINES and max(map(columns, lines)) <= LINE_COLUMNS
        assert 0 < cue.end - cue.start <= CUE_MILLISECONDS


def test_columns() -> None:
    assert [columns(text) for text in ("abc", "今天", "น้ำ", "e\u0301", "한국")] == [3, 4, 2, 1, 4]


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, THAI, LAO, KHMER, BURMESE, "a" * 60, "ü" * 200])
@pytest.mark.parametrize("seconds", [5.0, 20.0, 60.0])
@pytest.mark.parametrize("timed", [True, False])
def test_a_text_without_spaces_keeps_the_limits(text: str, seconds: float, timed: bool) -> None:
    text *= 3
    words = (Word(text, 0.0, seconds, 0.9),) if timed else ()
    found = cues(_one_segment(text, seconds, *words))
    assert "".join(cue.text for cue in found) == text
    assert len(found) > 1
    _check_limits(found)
    for written in (to_srt(_one_segment(text, seconds)), to_vtt(_one_segment(text, seconds))):
        assert max(map(columns, written.splitlines())) <= LINE_COLUMNS


def test_times_are_in_proportion_to_the_characters() -> None:
    found = cues(_one_segment(CHINESE, 19.5, Word(CHINESE, 0.0, 19.5, 0.9)))
    assert [(cue.start, cue.end, len(cue.text)) for cue in found] == [
        (0, 7000, 14),
        (7000, 14000, 14),
        (14000, 19500, 11),
    ]


def test_marks_stay_with_their_letters_and_letters_with_their_words() -> None:
    for text in (THAI * 3, KHMER * 3, BURMESE * 3, LAO * 3):
        for line in wrap(text).split("\n")[1:]:
            assert columns(line[0]) > 0 and line[0] not in "ะาำາະຳ"
    for line in wrap(THAI * 3).split("\n"):
        assert line[-1] not in "เแโใไ"
    lines = wrap("我们用Python写程序，" * 6).split("\n")
    assert sum(line.count("Python") for line in lines) == 6
    assert not any(line[0] in "，。" for line in lines)
    assert "👨‍👩‍👧" * 5 in wrap("。" + "👨‍👩‍👧" * 30).split("\n")[0]


def test_a_cue_ends_after_punctuation_where_there_is_some() -> None:
    text = "今日は天気がいいので公園へ行きました。それから家に帰ってラーメンを食べてテレビを見て寝ました"
    first, *_ = cues(_one_segment(text, 12.0, Word(text, 0.0, 12.0, 0.9)))
    assert first.text.endswith("。")


def test_words_of_a_text_without_spaces_keep_their_times() -> None:
    words = tuple(Word(sign, number * 0.5, number * 0.5 + 0.5, 0.9) for number, sign in enumerate(CHINESE))
    found = cues(_one_segment(CHINESE, len(CHINESE) * 0.5, *words))
    assert [cue.start for cue in found] == [0, 7000, 14000]
    assert found[0].text == CHINESE[:14]


def test_without_word_times_they_are_in_proportion() -> None:
    text = "one two three four five " * 20
    found = cues(_one_segment(text.strip(), 60.0))
    assert " ".join(cue.text for cue in found) == text.strip()
    _check_limits(found)
    half = Transcript(
        "one two",
        (
            Segment(
                0, 0.0, 9.0, "one two", (), -0.1, (Word("one", 0.0, 1.0, 0.9), Word("two", None, None, None))
            ),
        ),
        None,
        9.0,
    )
    assert cues(half) == [Cue(0, 3857, "one"), Cue(5142, 9000, "two")]
    assert cues(Transcript("no segments", (), None, 2.0)) == [Cue(0, 2000, "no segments")]


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("ab c今。、「」한ไกเำ\u0301\u200d👨🇩🏽်္က្ .(-"), max_size=300),
    st.floats(0, 500),
    st.booleans(),
)
def test_any_text_keeps_the_limits(text: str, seconds: float, timed: bool) -> None:
    words = tuple(Word(word, 0.0, seconds, None) for word in text.split()) if timed else ()
    found = cues(_one_segment(text, seconds, *words))
    assert "".join("".join(cue.text for cue in found).split()) == "".join(text.split())
    _check_limits(found)
