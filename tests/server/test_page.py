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
SCRIPTS = ["مرحبا", "שלום", "你好", "नमस्ते", "Ελλάδα", HOSTILE]


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


@pytest.fixture
def page(browser: Any, open_address: str) -> Iterator[Any]:
    """The page; it may ask no other address, and its scripts may not fail."""
    context = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme="dark")
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
    page.wait_for_function("document.querySelector('#player').currentTime > 0")
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


def test_text_from_elsewhere_is_only_text(page: Any) -> None:
    words = [{"word": word, "start": None, "end": None, "probability": 0.1} for word in SCRIPTS]
    for word in words:
        word["word"] = str(word["word"]).replace(" ", "\u00a0")
    text = " ".join(str(word["word"]).replace("\u00a0", "_") for word in words)
    data = {"segments": [{"start": 0, "end": 1, "text": text}], "words": words, "text": text}
    page.route("**/v1/audio/transcriptions", lambda route: route.fulfill(json=data))
    page.set_input_files("#file", SAMPLE)
    playwright.expect(page.locator("#words button")).to_have_count(len(SCRIPTS))
    assert page.locator("#words button").all_text_contents() == [word["word"] for word in words]
    assert page.evaluate("window.bad") is None and page.locator("img").count() == 0


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
