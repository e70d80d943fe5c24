"""The model in the package, on the samples in the repository and on real speech."""

from pathlib import Path

from asr_seq2seq import Recognizer, bundled
from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.evaluation.evaluate import evaluate
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.inference.loading import load, load_text_scorer

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"


def test_the_samples_are_recognized() -> None:
    recognizer = Recognizer.load("digits", device="cpu")
    sounds = sorted(SAMPLES.glob("*.flac"))
    assert len(sounds) >= 5
    references = [sound.with_suffix(".txt").read_text() for sound in sounds]
    texts = [transcript.text for transcript in recognizer.transcribe(sounds)]
    assert score(references, texts, recognizer.model.normalizer).wer <= 0.05


def test_every_word_has_a_time_within_its_sound() -> None:
    for transcript in Recognizer.load("digits", device="cpu").transcribe(sorted(SAMPLES.glob("*.flac"))):
        words = [word for segment in transcript.segments for word in segment.words]
        assert " ".join(word.text for word in words) == transcript.text
        edges = [edge for word in words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert 0 <= edges[0] < edges[-1] <= transcript.duration


def test_single_digits_of_real_speakers(shared_data: Path) -> None:
    model = load("digits")
    cuts = load_corpus(shared_data / "fsdd" / "test.jsonl")
    assert evaluate(model, cuts).score.wer <= 0.02


def test_the_files_are_small() -> None:
    assert bundled.names() == ["digits", "english", "english_lm"]
    assert bundled.find("digits").stat().st_size <= 8_000_000
    assert sum(bundled.find(name).stat().st_size for name in bundled.names()) <= 36_000_000
    assert bundled.find("english_lm").stat().st_size <= 15_000_000


def test_a_language_model_goes_with_english(shared_data: Path) -> None:
    cuts = load_corpus(shared_data / "speechocean762" / "dev.jsonl")[:60]
    model = load("english")
    lm = load_text_scorer("english_lm", model.alphabet)
    alone = evaluate(model, cuts)
    both = evaluate(model, cuts, model.options(lm=lm), lm=lm)
    assert both.score.wer < alone.score.wer
    assert [line.hypothesis for line in both.lines] != [line.hypothesis for line in alone.lines]


def test_english_hears_digits_too(shared_data: Path) -> None:
    model = load("english")
    cuts = load_corpus(shared_data / "fsdd" / "test.jsonl")
    assert evaluate(model, cuts).score.wer <= 0.02
