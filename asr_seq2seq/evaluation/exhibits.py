"""The report of an evaluation, with the sound, the features and the attention of its worst utterances."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio import Samples
from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.errors import AudioError, ConfigError, CorpusError
from asr_seq2seq.evaluation.evaluate import Evaluation, read_inputs
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.report import Exhibit, worst, write
from asr_seq2seq.inference.loading import LoadedModel
from asr_seq2seq.inference.pipeline import Inputs, Pipeline
from asr_seq2seq.runtime.features import LogMel, pad, with_deltas

LONGEST_SECONDS = 60.0  # longer ones have no exhibit, which would be large
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # what MP3 knows
_DARK = 80.0  # decibels below the loudest, where a picture of features becomes black
# Colors from dark to light, each lighter than the one before, so that a picture is right in gray too.
_COLORS = ((13, 8, 41), (86, 20, 110), (171, 51, 90), (236, 121, 46), (252, 200, 80), (252, 253, 220))


def check_report_packages() -> None:
    """ConfigError where the package that makes pictures is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError(
            "pictures in a report need pillow: pip install 'asr_seq2seq[report]', or give --listen 0"
        ) from None


def exhibit(pipeline: Pipeline, model: LoadedModel, utterance: Utterance, line: HypothesisLine) -> Exhibit:
    """Sound (MP3) and pictures (PNG) of an utterance and its hypothesis.

    A model without attention has no picture of it, nor has an utterance longer than the model knows, which
    was cut into segments. What cannot be read or is longer than a minute has nothing to show.
    """
    config = model.config.features
    if utterance.duration > LONGEST_SECONDS:
        return Exhibit()
    try:
        inputs = read_inputs(utterance, config)
    except (AudioError, CorpusError):
        return Exhibit()
    sound = mp3(inputs, config.sample_rate) if isinstance(config, LogMelConfig) else None
    attention = pipeline.attention_map(inputs, line.hypothesis)
    if attention is not None:
        # The strongest of each row is light: how sharp it is shows in how much else is.
        attention = attention / np.maximum(attention.max(1, keepdims=True), 1e-9)
    return Exhibit(
        sound=sound,
        features=picture(_features(model, inputs)),
        heading="Features" if sound is None else "Log-mel energies",
        attention=None if attention is None else picture(attention),
        characters=line.hypothesis,
    )


def write_report(
    path: Path,
    model: LoadedModel,
    utterances: Sequence[Utterance],
    result: Evaluation,
    about: Mapping[str, str],
    most: int,
) -> None:
    """Write the report of an evaluation, with the exhibits of the `most` worst utterances."""
    by_name = {one.id: (one, line) for one, line in zip(utterances, result.lines, strict=True)}
    pipeline = Pipeline(model)
    names = worst(result.assessment, most)
    if names:
        check_report_packages()
    shown = {name: exhibit(pipeline, model, *by_name[name]) for name in names}
    speed = (
        f"{result.seconds:.1f} s for {result.sound_seconds:.1f} s (real-time factor "
        f"{result.real_time_factor:.3f})"
    )
    confidence = f"{result.calibration_error:.1%} off on average"
    write(path, result.assessment, {**about, "Work": speed, "Confidence of words": confidence}, shown)


def mp3(sound: Samples, rate: int) -> bytes:
    """Samples (N,) at any rate as a small file that every browser plays."""
    import soundfile

    if rate not in _RATES:
        from soxr import resample

        nearest = min(_RATES, key=lambda known: abs(known - rate))
        sound, rate = resample(sound, rate, nearest), nearest
    file = io.BytesIO()
    soundfile.write(file, sound.clip(-1, 1), rate, format="MP3", compression_level=0.7)
    return file.getvalue()


def picture(values: npt.NDArray[np.float32]) -> bytes:
    """Values (rows, columns) from 0, dark, to 1, light, as a PNG of as many points."""
    from PIL import Image

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


def _features(model: LoadedModel, inputs: Inputs) -> npt.NDArray[np.float32]:
    """(F, T) from 0 to 1, high frequencies first."""
    config = model.config.features
    padded, lengths = pad([inputs])
    if isinstance(config, LogMelConfig):
        values = LogMel(config)(padded, lengths)[0][0].T[::-1]
        decibels = values * (10 / np.log(10))
        shown = 1 + (decibels - decibels.max()) / _DARK
    else:
        values = with_deltas(config, padded, lengths)[0].T[::-1]
        # Of unknown scales: each row from its own lowest to its own highest.
        low, high = values.min(1, keepdims=True), values.max(1, keepdims=True)
        shown = (values - low) / np.maximum(high - low, 1e-9)
    return np.ascontiguousarray(shown, dtype=np.float32)
