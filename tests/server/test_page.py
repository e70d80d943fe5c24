import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_seq2seq import audio
from asr_seq2seq.inference.recognizer import Recognizer

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "samples" / "digits_02.flac"
HOSTILE = '<img src=x onerror="window.bad=1"></button><script>window.bad=1</script>'
BIDI = "\u202e\u2067txt.exe"  # controls that turn what follows around, where nothing isolates them
SCRIPTS = ["Čeština-façade", "مرحبا", "שלום", "你好", "สวัสดี", "नमस्ते", "Ελλάδα", BIDI, HOSTILE]
CONTRASTS = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => numbers(color).slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
  const back = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = numbers(getComputedStyle(one).backgroundColor);
      if (color.length === 3 || color[3] === 1) return getComputedStyle(one).backgroundColor;
    }
  };
  const texts = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && texts(one))
    .map((one) => {
      const pair = [luminance(getComputedStyle(one).color), luminance(back(one))];
      return [one.textContent, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
    });
}"""
DROP = """(content) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "talk.flac", { type: "audio/flac" }));
  return transfer;
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose microphone is a recording, between a second and three of quiet."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    rate = 48000
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(rate)
    sound = np.concatenate([quiet, audio.load(SAMPLE, rate), quiet, quiet, quiet])
    microphone = tmp_path_factory.mktemp("sound") / "microphone.wav"
    soundfile.write(microphone, sound, rate)
    arguments = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def open_address(serve: Callable[..., str]) -> str:
    return serve()


@pytest.fixture(params=["dark"])
def page(browser: Any, open_address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, in a theme; it may ask no other address, its scripts may not fail, nor its text run out."""
    context = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme=request.param)
    opened = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(open_address)
    yield opened
    assert all(url.startswith((open_address, "blob:")) for url in asked) and not wrong
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def answer_with(page: Any, texts: list[str], probability: float = 0.1) -> None:
    """Let the server's answer to any file have these words, white space in them kept."""
    words = [
        {"word": text.replace(" ", "\u00a0"), "start": None, "end": None, "probability": probability}
        for text in texts
    ]
    text = " ".join(str(word["word"]).replace("\u00a0", "_") for word in words)
    data = {"segments": [{"start": 0, "end": 1, "text": text}], "words": words, "text": text}
    page.route("**/v1/audio/transcriptions", lambda route: route.fulfill(json=data))
    page.set_input_files("#file", SAMPLE)
    playwright.expect(page.locator("#words button")).to_have_count(len(texts))


def test_a_file_by_keyboard_and_its_downloads(page: Any, recognizer: Recognizer) -> None:
    wanted = recognizer.transcribe(SAMPLE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "microphone"
    page.set_input_files("#file", SAMPLE)
    playwright.expect(page.locator("#status")).to_have_text("Done.")
    assert page.locator("#words button").all_text_contents() == wanted.text.split()
    page.locator("#words button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#player').currentTime") > 0
    assert page.locator("#words [aria-current]").text_content() == wanted.text.split()[1]
    for name, begin in (
        ("txt", wanted.text),
        ("srt", "1\n00:00:0"),
        ("vtt", "WEBVTT\n\n00:00"),
        ("json", "{"),
    ):
        with page.expect_download() as saved:
            page.click(f"[data-format={name}]")
        assert Path(saved.value.path()).read_text().startswith(begin)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"


def _file_chooser(page: Any) -> Any:
    """What Enter opens; on a busy machine the browser may pass a press over."""
    for _ in range(4):
        try:
            with page.expect_file_chooser(timeout=10_000) as chooser:
                page.keyboard.press("Enter")
            return chooser.value
        except playwright.TimeoutError:
            continue
    return pytest.fail("Enter opens no dialog for files")


def test_only_the_keyboard_from_file_to_download(page: Any, recognizer: Recognizer) -> None:
    for _ in range(10):  # a page that is just shown may not have the keyboard yet
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "file":
            break
    _file_chooser(page).set_files(SAMPLE)
    playwright.expect(page.locator("#status")).to_have_text("Done.")
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.format") == "txt":
            break
    with page.expect_download() as saved:
        page.keyboard.press("Space")
    assert Path(saved.value.path()).read_text() == recognizer.transcribe(SAMPLE).text + "\n"


@pytest.mark.parametrize("place", ["#drop", "#heading"])
def test_a_file_that_is_dropped_anywhere(page: Any, recognizer: Recognizer, place: str) -> None:
    transfer = page.evaluate_handle(DROP, base64.b64encode(SAMPLE.read_bytes()).decode())
    page.dispatch_event(place, "dragover", {"dataTransfer": transfer})
    assert page.evaluate("document.querySelector('#drop').classList.contains('over')")
    page.dispatch_event(place, "drop", {"dataTransfer": transfer})
    playwright.expect(page.locator("#status")).to_have_text("Done.")
    assert not page.evaluate("document.querySelector('#drop').classList.contains('over')")
    assert page.locator("#words button").all_text_contents() == recognizer.transcribe(SAMPLE).text.split()


def test_what_is_dropped_without_a_file_changes_nothing(page: Any) -> None:
    transfer = page.evaluate_handle("new DataTransfer()")
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    assert page.locator("#status").text_content() == ""


def test_a_word_that_is_clicked_is_played_from_its_time(page: Any, recognizer: Recognizer) -> None:
    words = [word for segment in recognizer.transcribe(SAMPLE).segments for word in segment.words]
    last = words[-1]
    assert last.start is not None and last.end is not None and last.start > 1
    page.set_input_files("#file", SAMPLE)
    playwright.expect(page.locator("#status")).to_have_text("Done.")
    for kind in ("seeking", "pause"):
        page.evaluate(
            f"window.{kind} = new Promise((done) => document.querySelector('#player')"
            f".addEventListener('{kind}', (event) => done(event.target.currentTime))), null"
        )
    page.locator("#words button").last.click()
    assert page.evaluate("window.seeking") == pytest.approx(last.start - 0.1, abs=0.02)
    assert last.start < page.evaluate("window.pause") <= last.end + 1


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_text_has_contrast_in_both_themes(page: Any) -> None:
    page.evaluate("document.querySelector('details').open = true")
    answer_with(page, ["one", "two"])
    page.evaluate("document.querySelector('#open').textContent = 'three'")
    page.locator("#words button").first.hover()
    page.evaluate("document.querySelectorAll('#words button')[1].setAttribute('aria-current', 'true')")
    found = dict(page.evaluate(CONTRASTS))
    assert {"Transcribe speech", "one", "two", "three", "txt", "Start the microphone"} <= set(found)
    assert min(found.values()) >= 4.5, found


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_text_from_elsewhere_is_only_text(page: Any) -> None:
    answer_with(page, SCRIPTS)
    shown = page.locator("#words button").all_text_contents()
    assert shown == [text.replace(" ", "\u00a0") for text in SCRIPTS]
    assert page.evaluate("window.bad") is None and page.locator("img").count() == 0
    with page.expect_download() as saved:
        page.click("[data-format=vtt]")
    assert "<" not in Path(saved.value.path()).read_text()


@pytest.mark.parametrize(
    ("words", "direction"), [(["one", BIDI, "two"], "ltr"), (["مرحبا", BIDI, "two"], "rtl")]
)
def test_words_stand_in_the_direction_of_the_text(page: Any, words: list[str], direction: str) -> None:
    answer_with(page, words)
    assert page.evaluate("getComputedStyle(document.querySelector('#words')).direction") == direction
    places = page.evaluate(
        "[...document.querySelectorAll('#words button')].map((one) => one.getBoundingClientRect().x)"
    )
    assert places == sorted(places, reverse=direction == "rtl")


def test_what_is_wrong_is_said(page: Any, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"no sound")
    page.set_input_files("#file", tmp_path / "x.wav")
    playwright.expect(page.locator("#status")).to_contain_text("Error: ")


def test_the_microphone(page: Any, recognizer: Recognizer) -> None:
    page.click("#microphone")
    playwright.expect(page.locator("#words button").first).to_be_visible(timeout=20_000)
    page.click("#microphone")
    playwright.expect(page.locator("#microphone")).to_have_attribute("aria-pressed", "false")
    words = page.locator("#words button").all_text_contents()
    assert len(set(words) & set(recognizer.transcribe(SAMPLE).text.split())) >= 3
    assert page.evaluate("document.querySelector('#player').src").startswith("blob:")


def test_a_page_of_another_site_cannot_use_the_server(browser: Any, open_address: str) -> None:
    page = browser.new_page()
    page.route("http://other.example/", lambda route: route.fulfill(body="<p>x", content_type="text/html"))
    page.goto("http://other.example/")
    script = f"fetch('{open_address}/v1/models').then(() => 'read', () => 'refused')"
    assert page.evaluate(script) == "refused"
    page.close()
