"""How long a report of many utterances takes to write, and to be of use in a browser.

    python benchmarks/report.py --utterances 5000

Needs Playwright (`pip install '.[test]'`) and Chromium. The page is of use when a row can be clicked.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from asr_seq2seq.evaluation.assessment import assess
from asr_seq2seq.evaluation.exhibits import mp3, picture
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.report import Exhibit, write
from asr_seq2seq.text.normalizer import Normalizer


def main(
    utterances: Annotated[int, typer.Option(min=10, help="Utterances of 15 words.")] = 5000,
    listen: Annotated[int, typer.Option(min=0, help="How many have sound of 4 s and pictures.")] = 100,
    chromium: Annotated[str, typer.Option(help="The browser.")] = "/usr/bin/chromium",
) -> None:
    """Print the times and the size of the page."""
    from playwright.sync_api import sync_playwright

    chance = random.Random(1)
    lines = []
    for number in range(utterances):
        said = [f"word{chance.randrange(3000)}" for _ in range(15)]
        heard = [word for word in said if chance.random() > 0.05]
        speaker = f"speaker {number % 40}"
        lines.append(HypothesisLine(f"u{number}", " ".join(said), " ".join(heard), speaker=speaker))
    noise = np.random.default_rng(0)
    sound = (0.1 * noise.standard_normal(64000)).astype(np.float32)
    shown = Exhibit(
        mp3(sound, 16000),
        picture(noise.random((80, 400), dtype=np.float32)),
        "Log-mel energies",
        picture(noise.random((80, 50), dtype=np.float32)),
    )
    started = time.perf_counter()
    found = assess(lines, Normalizer.named("none"), by=["speaker"])
    print(f"scored in {time.perf_counter() - started:.2f} s")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        path = Path(folder) / "report.html"
        started = time.perf_counter()
        write(path, found, {}, {line.id: shown for line in lines[:listen]})
        print(f"written in {time.perf_counter() - started:.2f} s, {path.stat().st_size / 1e6:.1f} MB")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = browsers.chromium.launch(executable_path=chromium, args=options)
        for _ in range(3):
            page = browser.new_page()
            started = time.perf_counter()
            page.goto(path.as_uri())
            page.click("#rows td.act button")
            opened = time.perf_counter() - started
            page.fill("#search", "word77")
            page.click("th[data-key=wer] button")
            print(
                f"of use after {opened:.2f} s; search and sort {time.perf_counter() - started - opened:.2f} s"
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    typer.run(main)
