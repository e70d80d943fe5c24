"""Hot words: names that are found with and without them, false insertions, and the errors of other words.

Thirty names, each in two sentences that a synthesizer speaks (flite), and 20 rare words of a corpus, the
first, by their letters backwards, that stand in no training text: the recall of each list. A third of each is
for tuning, the rest is shown. All of both are hot words for the whole corpora too: one that comes out and is
not in the reference is a false insertion.

Example: python benchmarks/hotwords.py --boosts 0 1 --corpus ../shared/data/librispeech/dev.jsonl
../shared/data/speechocean762/dev.jsonl --training-text ../shared/data/text/librispeech_train_clean_100.txt
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from asr_seq2seq import audio
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.inference.loading import load
from asr_seq2seq.inference.pipeline import Pipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from make_synthetic import Utterance, speak

NAMES = (
    "Kubernetes", "Anna Schmidt", "Giovanni Rossi", "Yamamoto", "Postgres", "Elena Petrova", "Zanzibar",
    "Terraform", "Ravi Kapoor", "Montgomery", "Jenkins", "Fatima Hassan", "Grafana", "Wellington", "Oswaldo",
    "Kowalski", "Prometheus", "Lindqvist", "Amazon", "Tobias Krueger", "Mandela", "Debian", "Priya Sharma",
    "Marrakesh", "Ansible", "Villanueva", "Guadalupe", "Heidelberg", "Redis", "Ingrid Olsen",
)  # fmt: skip
SENTENCES = ("we talked about {} in the meeting", "please send the letter to {} before monday")
VOICES = ("flite+rms", "flite+slt", "flite+awb", "flite+kal16")
RARE = 20
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class Said:
    """A sound, its text, and the hot word that it has, if it has one."""

    samples: Samples
    text: str
    name: str = ""


def main() -> None:
    """Print a line of figures for each boost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="english")
    parser.add_argument("--boosts", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--evidence", type=float, nargs="+", default=[DecodingOptions.hotword_evidence])
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, help="the first has the rare words")
    parser.add_argument("--training-text", type=Path, nargs="+", required=True)
    parser.add_argument("--part", choices=["tuning", "shown", "all"], default="shown")
    parser.add_argument("--most", type=int, default=None, help="utterances of each corpus")
    options = parser.parse_args()
    model = load(options.model)
    pipeline = Pipeline(model)
    normal = model.normalizer
    corpora = [list(_corpus(path, pipeline, options.most)) for path in options.corpus]
    rare = _rare(corpora[0], options.training_text, normal)
    spoken = list(_spoken(pipeline))
    words = tuple(normal(name) for name in NAMES), tuple(rare)
    for boost, evidence in product(options.boosts, options.evidence):
        settings = replace(
            pipeline.options, hotword_boost=boost, hotword_evidence=evidence, hotwords=words[0] + words[1]
        )
        guide = Guide.of(settings, pipeline.alphabet, normal)
        pipeline.options = settings
        figures = [f"boost {boost:g}, evidence {evidence:g}: recall"]
        for label, given, kind in (("names", spoken, words[0]), ("rare words", corpora[0], words[1])):
            figures.append(f"{label} {_recall(pipeline, guide, given, _part(kind, options.part))};")
        for path, corpus in zip(options.corpus, corpora, strict=True):
            figures.append(f"{path.parent.name}: {_others(pipeline, guide, corpus, (*words[0], *words[1]))};")
        print(*figures, flush=True)


def _part(words: Sequence[str], part: str) -> list[str]:
    """Every third word is for tuning."""
    return [
        word for place, word in enumerate(words) if part == "all" or (place % 3 == 0) is (part == "tuning")
    ]


def _corpus(path: Path, pipeline: Pipeline, most: int | None) -> Iterator[Said]:
    for line in path.read_text(encoding="utf-8").splitlines()[:most]:
        entry = json.loads(line)
        samples = audio.load(path.parent / entry["audio_filepath"], int(pipeline.input_rate))
        yield Said(samples, " ".join(_WORD.findall(entry["text"].lower())))


def _rare(corpus: Sequence[Said], training: Sequence[Path], normal: object) -> list[str]:
    """The first words, by their letters backwards, of five or more that no training text has."""
    known: set[str] = set()
    for path in training:
        known.update(_WORD.findall(path.read_text(encoding="utf-8").lower()))
    new = {word for said in corpus for word in said.text.split() if len(word) > 4 and word not in known}
    return sorted(new, key=lambda word: word[::-1])[:RARE]


def _spoken(pipeline: Pipeline) -> Iterator[Said]:
    for place, name in enumerate(NAMES):
        for number, sentence in enumerate(SENTENCES):
            text, voice = sentence.format(name), VOICES[(place + 2 * number) % len(VOICES)]
            said = Utterance(name, text, voice, 150, 50, 1, (place, number))
            quiet = np.zeros(4000, np.float32)
            samples = np.concatenate([quiet, speak(said, int(pipeline.input_rate)), quiet])
            yield Said(samples, text.lower(), name.lower())


def _texts(pipeline: Pipeline, guide: Guide, given: Sequence[Said]) -> list[str]:
    found = pipeline.recognize([one.samples for one in given], guides=[guide] * len(given))
    return [one.text for one in found]


def _recall(pipeline: Pipeline, guide: Guide, given: Sequence[Said], words: Sequence[str]) -> str:
    """Of the times that these words are said, how many come out."""
    holders = [one for one in given if any(_count(word, one.text) for word in words)]
    texts = _texts(pipeline, guide, holders)
    pairs = [(word, one.text, text) for one, text in zip(holders, texts, strict=True) for word in words]
    said = sum(_count(word, reference) for word, reference, _ in pairs)
    right = sum(min(_count(word, reference), _count(word, text)) for word, reference, text in pairs)
    return f"{right} of {said} ({100 * right / max(1, said):.0f} %)"


def _others(pipeline: Pipeline, guide: Guide, given: Sequence[Said], words: Sequence[str]) -> str:
    """False insertions an hour, and the WER of utterances that have none of the words."""
    texts = _texts(pipeline, guide, given)
    hours = sum(len(one.samples) for one in given) / pipeline.input_rate / 3600
    false = [
        word
        for one, text in zip(given, texts, strict=True)
        for word in words
        for _ in range(_count(word, text) - _count(word, one.text))
    ]
    plain = [place for place, one in enumerate(given) if not any(_count(word, one.text) for word in words)]
    rate = score(
        [given[place].text for place in plain], [texts[place] for place in plain], pipeline.normalizer
    )
    shown = f" ({', '.join(false)})" if false else ""
    return f"{len(false)} false{shown} in {hours:.2f} h, WER of the rest {100 * rate.wer:.2f} %"


def _count(word: str, text: str) -> int:
    return f" {text} ".replace(" ", "  ").count(f" {word.replace(' ', '  ')} ")


if __name__ == "__main__":
    main()
