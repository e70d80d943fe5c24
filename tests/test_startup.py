"""What each verb imports: what it does not need makes its user wait."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asr_seq2seq.cli.application import VERBS

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "samples" / "digits_03.flac"
BUNDLED = ROOT / "asr_seq2seq" / "model_file" / "pretrained" / "digits.safetensors"
COMPILERS = {"torch._dynamo", "torch._inductor", "torch.onnx", "sympy"}
SCIENCE = {"scipy", "librosa", "pandas", "sklearn", "matplotlib", "numba"}
CORPORA = {"lhotse", "datasets", "tensorboard"}
LIGHT = {"torch", "torchaudio", "onnxruntime", "soundfile", "rich", "yaml"} | CORPORA | COMPILERS
NO_MODEL = LIGHT | SCIENCE
RECOGNIZES = COMPILERS | SCIENCE | CORPORA | {"av", "jiwer", "yaml", "onnx"}
# What a plain transcription has no use for: language models, hot words, phrases, archives, containers.
UNUSED = {"numpy.ma", "html", "gzip", "asyncio", "email.mime", "http", "unittest"} | {
    f"asr_seq2seq.{name}"
    for name in (
        "audio.container", "cli.archive", "decoding.automata", "decoding.hotwords", "decoding.ngram",
        "decoding.ngram_file", "decoding.phrases", "decoding.word_ngrams", "model_file.word_ngrams",
        "runtime.graph_builder", "runtime.onnx_language_model", "text.spoken", "text.written",
        "training_config",
    )
}  # fmt: skip

# Runs the commands in a list, and prints the names of all modules that this took.
RUN = """
import json, sys
from asr_seq2seq import cli
output, sys.stdout = sys.stdout, sys.stderr
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["asr-seq2seq", *arguments]
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code, stop.code
print(json.dumps(list(sys.modules)), file=output)
"""


def imported(*commands: list[str]) -> set[str]:
    """The modules that commands have imported, one after another in a process of their own."""
    command = [sys.executable, "-c", RUN, json.dumps(commands)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_help_needs_nothing() -> None:
    needless = LIGHT | SCIENCE | {"numpy", "jiwer"}
    found = imported(["--version"], ["--help"], *([verb, "--help"] for verb in VERBS))
    assert not needless & found


def test_texts_are_compared_without_torch(tmp_path: Path) -> None:
    reference, wrong = tmp_path / "reference.txt", tmp_path / "wrong.txt"
    reference.write_text("one two\nthree\n")
    wrong.write_text("one\nthree\n")
    texts = [str(reference), str(wrong)]
    assert not NO_MODEL & imported(["score", *texts], ["compare", *texts, str(reference)])


def test_transcription_needs_neither_torch_nor_corpora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not (RECOGNIZES - {"onnx"} | {"torch", "torchaudio"}) & imported(["transcribe", str(SAMPLE)])
    graphs_known = imported(["transcribe", str(SAMPLE)])
    assert "onnxruntime" in graphs_known
    assert not (RECOGNIZES | UNUSED | {"torch", "torchaudio"}) & graphs_known


FORBID = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchaudio", "lhotse", "librosa", "scipy", "tensorboard"}:
            raise AssertionError(f"imports {name}")
sys.meta_path.insert(0, Forbid())
"""


def test_every_verb_of_the_core_runs_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process with a hook that forbids it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    corpus, run = tmp_path / "corpus.jsonl", tmp_path / "run"
    sounds = sorted(SAMPLE.parent.glob("*.flac"))[:4]
    lines = [
        {
            "id": sound.stem,
            "audio_filepath": str(sound),
            "text": sound.with_suffix(".txt").read_text().strip(),
        }
        for sound in sounds
    ]
    corpus.write_text("\n".join(json.dumps(line | {"speaker": line["id"]}) for line in lines))
    (run / "checkpoints").mkdir(parents=True)
    for name in ("model", "checkpoints/epoch_0001", "checkpoints/epoch_0002"):
        (run / f"{name}.safetensors").write_bytes(BUNDLED.read_bytes())
    (run / "metrics.jsonl").write_text('{"epoch": 1, "dev_wer": 0.5, "dev_cer": 0.25, "dev_loss": 1.5}\n')
    hypotheses = tmp_path / "hypotheses.jsonl"
    commands = [
        [
            "transcribe",
            *map(str, sounds),
            "-o",
            str(tmp_path / "out"),
            "-f",
            "all",
            "--language-model",
            "english_lm",
        ],
        ["transcribe", str(SAMPLE), "--compute-type", "int8", "--beam-size", "1", "--json"],
        ["evaluate", "digits", str(corpus), "--hypotheses", str(hypotheses)],
        ["evaluate", "digits", str(SAMPLE.parent)],
        ["score", str(corpus), str(hypotheses)],
        ["compare", str(corpus), str(hypotheses), str(hypotheses)],
        ["align", "digits", str(SAMPLE), str(SAMPLE.with_suffix(".txt")), "--cut", str(tmp_path / "cut")],
        ["inspect", "digits"],
        ["inspect", str(run)],
        ["inspect", str(corpus)],
        ["average", str(run)],
        ["average", "english", "-o", str(tmp_path / "half.safetensors"), "--half"],
        ["export", "digits", str(tmp_path / "digits.zip"), "--int8"],
        ["split", str(corpus), str(tmp_path / "split")],
    ]
    command = [sys.executable, "-c", FORBID + RUN, json.dumps(commands)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_what_needs_the_extra_train_says_so(tmp_path: Path) -> None:
    hide = "import sys\nfor name in ('torch', 'torchaudio', 'lhotse'):\n    sys.modules[name] = None\n"
    code = hide + "from asr_seq2seq import cli\ncli.main()"
    for arguments, what in (
        (["train", str(ROOT / "configs" / "fsdd.yaml"), "--run", str(tmp_path / "run")], "training"),
        (["transcribe", str(SAMPLE), "--backend", "torch"], "the backend torch"),
    ):
        result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert result.returncode == 2
        assert result.stderr == f"error: {what} needs PyTorch: pip install 'asr_seq2seq[train]'\n"


def test_inspection_of_a_model_needs_no_corpora() -> None:
    found = imported(["inspect", str(BUNDLED)])
    assert not (RECOGNIZES - {"yaml"} | {"torch", "onnxruntime", "soundfile", "rich"}) & found


def test_language_model_of_plain_text_needs_no_corpora(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one two\nthree four\n" * 10)
    values = (f"data.train={text}", "data.dev_fraction=0.2", "training.epochs=1", "model.units=4")
    settings = [word for value in values for word in ("--set", value)]
    recipe = str(ROOT / "configs" / "lm_chars.yaml")
    found = imported(["train-lm", recipe, "--run", str(tmp_path / "run"), "--device", "cpu", *settings])
    assert not (CORPORA | SCIENCE | {"soundfile", "jiwer"}) & found
