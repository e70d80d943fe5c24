import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_seq2seq.errors import OutputError
from asr_seq2seq.evaluation.assessment import Assessment, assess
from asr_seq2seq.evaluation.confusions import Confusion, character_confusions, word_confusions
from asr_seq2seq.evaluation.exhibits import mp3, picture
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.report import Exhibit, worst, write
from asr_seq2seq.text.normalizer import Normalizer

NONE = Normalizer.named("none")
HOSTILE = (
    '</script><script>window.bad=1</script> <img src=x onerror="window.bad=1"> '
    "& ' ` \x00\x1b\x85 \u2028 \ud800"
)
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _assessment(count: int) -> Assessment:
    lines = [
        HypothesisLine("hostile", HOSTILE, "x " + HOSTILE + " y z", speaker=HOSTILE, keys={HOSTILE: HOSTILE}),
        HypothesisLine("arabic", "مرحبا بالعالم اليوم", "مرحبا العالم", speaker="س", confidences=(0.9, 0.3)),
    ]
    for number in range(count - len(lines)):
        said = [f"word{(number * 7 + place) % 97}" for place in range(12)]
        heard = ["other", *said[1:]] if number % 3 == 0 else said
        lines.append(HypothesisLine(f"u{number:04d}", " ".join(said), " ".join(heard), duration=number / 100))
    return assess(lines, NONE, by=["speaker", HOSTILE])


def _exhibit() -> Exhibit:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    shades = picture(np.linspace(0, 1, 80 * 100, dtype=np.float32).reshape(80, 100))
    sound = mp3(np.asarray(noise, dtype=np.float32), 16000)
    return Exhibit(sound, shades, "Log-mel energies", shades, "x <b>y")


def test_the_page_is_one_file_that_names_no_other(tmp_path: Path) -> None:
    write(tmp_path / "r.html", _assessment(20), {"Model": HOSTILE}, {"hostile": _exhibit()}, title=HOSTILE)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<script") == 3 and "<img" not in page
    head = page.split("<script")[0]
    attributes = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, found: attributes.extend(found)  # type: ignore[method-assign]
    parser.feed(head)
    assert [value for name, value in attributes if name in ("src", "href", "onerror")] == ["#utterances"]
    assert not re.search(r"https?:|url\(|@import", head)
    assert "default-src 'none'" in page
    assert not re.search("[\x00\x1b\x85]", page)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data[0]["reference"] == HOSTILE
    assert data[0]["exhibit"] == 0


def test_the_worst_come_first() -> None:
    assert worst(_assessment(10), 3) == ["hostile", "arabic", "u0000"]


def test_confusions_are_counted() -> None:
    lines = [HypothesisLine("1", "a b c", "a x c d"), HypothesisLine("2", "a b", "a x")]
    judged = assess(lines, NONE).judged
    assert word_confusions(judged, 5) == [Confusion("b", "x", 2), Confusion("", "d", 1)]
    assert character_confusions(judged, 1) == [Confusion("b", "x", 2)]
    assert character_confusions(judged[:0], 5) == []


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        write(tmp_path / "no" / "r.html", _assessment(5), {})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The report of 5,000 utterances in a real browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(path, _assessment(5000), {"Model": HOSTILE}, {"hostile": _exhibit(), "arabic": _exhibit()})
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=chromium, args=CHROMIUM)
        page = browser.new_page()
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert page.complaints == []
        assert all(url.startswith(("file:", "data:")) for url in page.asked)
        browser.close()


def _names(page: Any) -> list[str]:
    return [name.strip() for name in page.locator("#rows th.name").all_inner_texts()]


def test_rows_are_sorted_by_a_click_and_by_the_keyboard(page: Any) -> None:
    assert _names(page)[:3] == ["hostile", "arabic", "u0000"]  # the worst first
    assert len(_names(page)) == 50
    page.click("th[data-key=name] button")
    assert _names(page)[:3] == ["arabic", "hostile", "u0000"]
    page.focus("th[data-key=name] button")
    page.keyboard.press("Enter")
    assert _names(page)[0] == "u4997"
    assert page.get_attribute("th[data-key=name]", "aria-sort") == "descending"
    page.click("th[data-key=seconds] button")
    assert _names(page)[0] == "u4997"
    page.click("#next")
    assert _names(page)[0] == "u4947"
    page.click("th[data-key=errors] button")


def test_rows_are_searched(page: Any) -> None:
    page.fill("#search", "U0123")
    assert _names(page) == ["u0123"]
    page.fill("#search", "بالعالم")
    assert _names(page) == ["arabic"]
    assert page.inner_text("#count") == "1 of 5,000 utterances"
    page.fill("#search", "")
    page.check("#wrong")
    assert page.inner_text("#count").startswith("1,668 of")
    page.uncheck("#wrong")


def test_alignments_are_colored_and_run_as_their_script_does(page: Any) -> None:
    page.fill("#search", "arabic")
    pairs = page.locator("#rows .pair")
    kinds = [pair.get_attribute("class") for pair in pairs.all()]
    assert kinds == ["pair equal", "pair delete", "pair substitute"]
    colors = {
        kind: page.locator(f"#rows .{kind}").first.evaluate("e => getComputedStyle(e).backgroundColor")
        for kind in ("equal", "delete", "substitute")
    }
    assert len(set(colors.values())) == 3
    places = [pair.bounding_box()["x"] for pair in pairs.all()]
    assert places == sorted(places, reverse=True)  # right to left
    page.fill("#search", "")


def test_sound_plays_and_pictures_are_there(page: Any) -> None:
    play = page.locator("#rows button.play").first
    play.click()
    page.wait_for_function("() => document.querySelector('#rows button.play').textContent === '■'")
    later = "new Promise(done => setTimeout(() => done(playing.audio.currentTime), 300))"
    assert page.evaluate(later) > 0
    play.click()
    assert play.inner_text() == "▶"
    page.locator("#rows td.act button").first.click()
    known = "a => new Promise(done => { a.onloadedmetadata = () => done(a.duration); a.load() })"
    assert page.locator("#rows audio").evaluate(known) == pytest.approx(1.0, abs=0.2)
    for image in page.locator("#rows img").all():
        assert image.evaluate("i => i.naturalWidth") == 100
        assert image.get_attribute("alt")
    page.locator("#rows td.act button").first.click()
    assert page.locator("#rows audio").count() == 0


def test_hostile_text_is_shown_and_does_nothing(page: Any) -> None:
    page.fill("#search", "hostile")
    assert "</script><script>window.bad=1</script>" in page.inner_text("#rows .aligned").replace("\n", "")
    page.locator("#rows td.act button").first.click()
    assert page.evaluate("window.bad") is None
    assert page.locator("main script, main img[src=x]").count() == 0
    page.fill("#search", "")
