"""How often the interval of a WER covers the true WER, over simulated corpora whose truth is known.

    python tools/measure_intervals.py --corpora 1000

Each speaker has an error rate of its own and each of its utterances one around that, both from beta
distributions; every word is wrong with the utterance's rate. The true WER is then the mean rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from asr_seq2seq.evaluation.intervals import Numbers, ratio_interval


@dataclass(frozen=True)
class Setting:
    """A kind of corpus: how many speakers, how much of each, and how unlike they are.

    `speaker_spread` is the standard deviation of the speakers' rates as a part of `wer`; `clumping` (0 to 1)
    says how much the errors of an utterance come together. Without speakers each utterance is drawn alone.
    """

    name: str
    speakers: int
    utterances: int
    wer: float
    speaker_spread: float
    clumping: float
    words: float

    def corpus(self, chance: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Errors and words of each speaker."""
        shape = (self.speakers, self.utterances)
        speakers = np.full((self.speakers, 1), self.wer)
        if self.speaker_spread:
            sharp = (1 - self.wer) / (self.wer * self.speaker_spread**2) - 1
            speakers = chance.beta(self.wer * sharp, (1 - self.wer) * sharp, speakers.shape)
        rates = np.broadcast_to(speakers, shape)
        if self.clumping:
            sharp = 1 / self.clumping - 1
            rates = chance.beta(np.maximum(rates * sharp, 1e-9), np.maximum((1 - rates) * sharp, 1e-9))
        words = 1 + chance.poisson(self.words - 1, shape)
        return chance.binomial(words, rates).sum(1).astype(float), words.sum(1).astype(float)


SETTINGS = [
    Setting("100 utterances of 6 words", 100, 1, 0.12, 0, 0.1, 6),
    Setting("130 utterances, errors clumped", 130, 1, 0.12, 0, 0.4, 6),
    Setting("100 utterances, few errors", 100, 1, 0.01, 0, 0.05, 6),
    Setting("1,000 utterances, few errors", 1000, 1, 0.005, 0, 0.05, 5.5),
    Setting("1,000 utterances of 20 words", 1000, 1, 0.05, 0, 0.1, 20),
    Setting("6 speakers x 50", 6, 50, 0.10, 0.5, 0.05, 6),
    Setting("8 speakers x 12", 8, 12, 0.10, 0.5, 0.05, 6),
    Setting("10 speakers x 13, as AN4's test", 10, 13, 0.12, 0.5, 0.1, 6),
    Setting("12 speakers x 10", 12, 10, 0.10, 0.5, 0.05, 6),
    Setting("20 speakers x 10", 20, 10, 0.10, 0.5, 0.05, 6),
    Setting("20 speakers x 20, very unlike", 20, 20, 0.05, 0.8, 0.05, 8),
    Setting("40 speakers x 10, very unlike", 40, 10, 0.10, 0.7, 0.05, 8),
]


def coverage(setting: Setting, corpora: int, resamples: int, seed: int = 1) -> tuple[float, float]:
    """The part of the simulated corpora whose interval holds the truth, and the median width."""
    chance = np.random.default_rng(seed)
    covered, widths = 0, []
    for number in range(corpora):
        errors, words = setting.corpus(chance)
        interval = ratio_interval(errors, words, resamples=resamples, seed=number)
        assert interval is not None
        covered += interval.low <= setting.wer <= interval.high
        widths.append(interval.high - interval.low)
    return covered / corpora, float(np.median(widths))


def main(
    corpora: Annotated[int, typer.Option(min=1, help="Simulated corpora of each kind.")] = 1000,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of each bootstrap.")] = 1000,
) -> None:
    """Print a Markdown table: kind of corpus, true WER, coverage, median width in points."""
    print("| corpus | true WER | covered | median width |\n|---|---|---|---|")
    for setting in SETTINGS:
        covered, width = coverage(setting, corpora, resamples)
        print(
            f"| {setting.name} | {setting.wer:.1%} | {covered:.1%} | {100 * width:.2f} points |", flush=True
        )


if __name__ == "__main__":
    typer.run(main)
