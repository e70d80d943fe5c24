"""Phrases: the word error rate with and without them, and what comes out for speech that is none of them.

The texts of a corpus are the phrases, or the lines of a file; where the corpus has no sound of its own, as
AN4, a synthesizer (flite) speaks them. Other speech should come out as [unk]: for several margins, the share
of phrases that is refused and the share of other speech that comes out as a phrase.

Example: python benchmarks/phrases.py --corpus ../shared/data/an4/dev.jsonl --speak
--other ../shared/data/librispeech/dev.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from asr_seq2seq import audio
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.inference.loading import load
from asr_seq2seq.inference.pipeline import Pipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from make_synthetic import Utterance, speak

VOICES = ("flite+rms", "flite+slt", "flite+awb", "flite+kal16")
MARGINS = (0.3, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0)
LONGEST = 8.0  # seconds of other speech


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="english")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--speak", action="store_true")
    parser.add_argument("--phrases", type=Path, help="a file of phrases in place of the corpus's texts")
    parser.add_argument("--words", nargs="*", help="only utterances all of whose words are these")
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--beam-size", type=int)
    parser.add_argument("--most", type=int, default=100, help="utterances of each corpus")
    options = parser.parse_args()
    pipeline = Pipeline(load(options.model))
    given = _read(options.corpus, pipeline, options.speak, options.words, options.most)
    other = _read(options.other, pipeline, False, None, options.most)
    texts = [text for _, text in given]
    phrases = texts if options.phrases is None else options.phrases.read_text(encoding="utf-8").splitlines()
    if options.beam_size:
        pipeline.options = replace(pipeline.options, beam_size=options.beam_size)
    bound = replace(pipeline.options, phrases=tuple(dict.fromkeys(phrases)))
    guide = Guide.of(bound, pipeline.alphabet, pipeline.normalizer)
    free, held, gains = _both(pipeline, guide, [samples for samples, _ in given])
    print(f"{len(given)} utterances, {len(bound.phrases)} phrases, {len(other)} of other speech")
    for name, found in (("without phrases", free), ("with phrases", held)):
        rate = score(texts, found, pipeline.normalizer)
        whole = np.mean([pipeline.normalizer(text) == one for text, one in zip(texts, found, strict=True)])
        print(f"{name}: WER {100 * rate.wer:.2f} %, {100 * whole:.0f} % of the texts right")
    _, _, others = _both(pipeline, guide, [samples for samples, _ in other])
    for margin in MARGINS:
        refused, taken = np.mean(gains > margin), np.mean(others <= margin)
        print(f"margin {margin:g}: {100 * refused:.1f} % refused, {100 * taken:.1f} % of other speech taken")


def _read(
    path: Path, pipeline: Pipeline, speaks: bool, words: list[str] | None, most: int
) -> list[tuple[Samples, str]]:
    rate, found = int(pipeline.input_rate), []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        entry = json.loads(line)
        text = entry["text"].lower()
        if (words and not set(text.split()) <= set(words)) or (not speaks and entry["duration"] > LONGEST):
            continue
        if speaks:
            said = Utterance("", text, VOICES[number % len(VOICES)], 150, 50, 1, (number, 0))
            quiet = np.zeros(rate // 4, np.float32)
            samples: Samples = np.concatenate([quiet, speak(said, rate), quiet])
        else:
            samples = audio.load(path.parent / entry["audio_filepath"], rate)
        found.append((samples, text))
        if len(found) == most:
            break
    return found


def _both(
    pipeline: Pipeline, guide: Guide, sounds: list[Samples]
) -> tuple[list[str], list[str], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """The texts of an unbound search and of one bound to phrases, and how much better the first."""
    free, held = pipeline.recognize(sounds), pipeline.recognize(sounds, guides=[guide] * len(sounds))
    gains = [
        (one.best.score - two.best.score) / (two.best.length + 1) for one, two in zip(free, held, strict=True)
    ]
    return [one.text for one in free], [two.text for two in held], np.array(gains)


if __name__ == "__main__":
    main()
