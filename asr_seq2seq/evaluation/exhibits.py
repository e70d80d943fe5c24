"""The report of an evaluation, with the sound, the features and the attention of its worst utterances."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.errors import AudioError, CorpusError
from asr_seq2seq.evaluation.evaluate import Evaluation
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.report import Exhibit, worst, write
from asr_seq2seq.model.features import build_features
from asr_seq2seq.model.files import ModelFile

LONGEST_SECONDS = 60.0  # more is neither looked at nor small
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # what MP3 knows
_DARK = 80.0  # decibels below the loudest, where a picture of features becomes black
# Colors from dark to light, each lighter than the one before, so that a picture is right in gray too.
_COLORS = ((13, 8, 41), (86, 20, 110), (171, 51, 90), (236, 121, 46), (252, 200, 80), (252, 253, 220))


def exhibit(recognizer: ModelFile, cut: Utterance, line: HypothesisLine) -> Exhibit:
    """Sound (MP3) and pictures (PNG) of an utterance and its hypothesis.

    A model without attention has no map of it, nor has an utterance longer than the model knows, which was
    recognized in pieces. What cannot be read or is longer than a minute has nothing to show.
    """
    config = recognizer.config.features
    sound = heading = None
    try:
        if cut.duration > LONGEST_SECONDS:
            return Exhibit()
        if isinstance(config, LogMelConfig):
            inputs = torch.from_numpy(read_sound(cut, config.sample_rate))
            sound, heading = mp3(inputs, config.sample_rate), "Log-mel energies"
        else:
            inputs = torch.from_numpy(read_features(cut, config.size))
    except (AudioError, CorpusError):
        return Exhibit()
    return Exhibit(
        sound=sound,
        features=picture(_features(recognizer, inputs)),
        heading=heading or "Features",
        attention=_attention(recognizer, inputs, line.hypothesis),
        characters=line.hypothesis,
    )


def write_report(
    path: Path,
    recognizer: ModelFile,
    cuts: Sequence[Utterance],
    result: Evaluation,
    about: Mapping[str, str],
    most: int,
) -> None:
    """Write the report of an evaluation, with the exhibits of the `most` worst utterances."""
    by_name = {cut.id: (cut, line) for cut, line in zip(cuts, result.lines, strict=True)}
    shown = {name: exhibit(recognizer, *by_name[name]) for name in worst(result.assessment, most)}
    speed = (
        f"{result.seconds:.1f} s for {result.sound_seconds:.1f} s (real-time factor "
        f"{result.real_time_factor:.3f})"
    )
    confidence = f"{result.calibration_error:.1%} off on average"
    write(path, result.assessment, {**about, "Work": speed, "Confidence of words": confidence}, shown)


def mp3(sound: Tensor, rate: int) -> bytes:
    """Samples (N,) at any rate as a small file that every browser plays."""
    import soundfile

    if rate not in _RATES:
        from soxr import resample

        nearest = min(_RATES, key=lambda known: abs(known - rate))
        sound, rate = torch.from_numpy(resample(sound.numpy(), rate, nearest)), nearest
    file = io.BytesIO()
    soundfile.write(file, sound.clamp(-1, 1).numpy(), rate, format="MP3", compression_level=0.7)
    return file.getvalue()


def picture(values: npt.NDArray[np.float32]) -> bytes:
    """Values (rows, columns) from 0, dark, to 1, light, as a PNG of as many points."""
    rows, columns = values.shape
    levels = (255 * values.clip(0, 1)).round().astype(np.uint8)
    image = Image.frombytes("P", (columns, rows), levels.tobytes())
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _palette() -> list[int]:
    places = np.linspace(0, 1, len(_COLORS))
    channels = [np.interp(np.linspace(0, 1, 256), places, column) for column in zip(*_COLORS, strict=True)]
    palette: list[int] = np.stack(channels, 1).round().astype(int).ravel().tolist()
    return palette


@torch.inference_mode()
def _features(recognizer: ModelFile, inputs: Tensor) -> npt.NDArray[np.float32]:
    """(F, T) from 0 to 1, high frequencies first."""
    frames, _ = build_features(recognizer.config.features).raw(inputs[None], torch.tensor([len(inputs)]))
    values = frames[0].numpy().T[::-1]
    if isinstance(recognizer.config.features, LogMelConfig):
        decibels = values * (10 / np.log(10))
        shown = 1 + (decibels - decibels.max()) / _DARK
    else:
        # Of unknown scales: each row from its own lowest to its own highest.
        low, high = values.min(1, keepdims=True), values.max(1, keepdims=True)
        shown = (values - low) / np.maximum(high - low, 1e-9)
    return np.ascontiguousarray(shown, dtype=np.float32)


@torch.inference_mode()
def _attention(recognizer: ModelFile, inputs: Tensor, text: str) -> bytes | None:
    """The map of a text's characters and its end, if there is one: (U + 1, T') as a picture."""
    model = recognizer.model
    pieces = len(inputs) / recognizer.config.features.rate / recognizer.longest_seconds
    if pieces > 1 and isinstance(recognizer.config.features, LogMelConfig):
        return None
    device = recognizer.device
    encoded = model.encode(inputs[None].to(device), torch.tensor([len(inputs)], device=device))
    looked = model.attention(encoded, [tuple(recognizer.alphabet.encode(text))])
    if looked is None:
        return None
    weights = looked[0].cpu().numpy()
    # The strongest of each row is light: how sharp it is shows in how much else is.
    shown = weights / np.maximum(weights.max(1, keepdims=True), 1e-9)
    return picture(shown)
