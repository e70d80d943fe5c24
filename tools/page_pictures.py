"""Make the pictures of the server's page in both themes.

Example: python tools/page_pictures.py data/samples/digits_02.flac docs/images
"""

from __future__ import annotations

import argparse
import shutil
import threading
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.server.app import create_app
from asr_seq2seq.server.running import server


def main() -> None:
    """Serve, transcribe a sound in the page with Chromium, and write page_light.png and page_dark.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sound", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="digits")
    options = parser.parse_args()
    run = server(create_app(Recognizer.load(options.model, threads=1)), "127.0.0.1", 0)
    thread = threading.Thread(target=run.run)
    thread.start()
    try:
        while not run.started:
            time.sleep(0.01)
        port = run.servers[0].sockets[0].getsockname()[1]
        for theme in ("light", "dark"):
            _take(f"http://127.0.0.1:{port}", options.sound, theme, options.folder / f"page_{theme}.png")
    finally:
        run.should_exit = True
        thread.join()


def _take(address: str, sound: Path, theme: str, target: Path) -> None:
    """Write the picture of the page with the transcript of a sound, as a PNG of few colors."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 640, "height": 560}, color_scheme=theme)  # type: ignore[arg-type]
        page.goto(address)
        page.set_input_files("#file", sound)
        page.get_by_text("Done.").wait_for()
        page.locator("#words button").nth(1).hover()
        page.screenshot(path=target)
        browser.close()
    with Image.open(target) as picture:
        small = picture.convert("RGB").quantize(32)
    small.save(target, optimize=True)


if __name__ == "__main__":
    main()
