"""Any corpus that lhotse has a recipe for: each supervision with text becomes an utterance."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile
from lhotse import CutSet, MonoCut, RecordingSet, SupervisionSet
from lhotse.audio import backend
from lhotse.audio.backend import AudioBackend, LibsndfileCompatibleAudioInfo

from asr_seq2seq import audio
from asr_seq2seq.corpora.cutset import from_cut
from asr_seq2seq.corpora.guard import nothing_started
from asr_seq2seq.corpora.utterance import UNKNOWN_SECONDS, Utterance
from asr_seq2seq.errors import AudioError, CorpusError, shown
from asr_seq2seq.files import temporary_folder


def run_recipe(name: str, source: Path) -> dict[str, list[Utterance]]:
    """The parts of a corpus that `lhotse.recipes.prepare_NAME` finds in `source`.

    Utterances without text are left out. CorpusError for a name that is unknown, a recipe that needs more
    than a folder, and whatever goes wrong in it.
    """
    from lhotse import recipes

    names = [known.removeprefix("prepare_") for known in dir(recipes) if known.startswith("prepare_")]
    if name not in names:
        near = ", ".join(difflib.get_close_matches(name, names, n=3, cutoff=0.0))
        raise CorpusError(f"lhotse has no recipe {shown(name)}; near it are {near}")
    recipe = getattr(recipes, f"prepare_{name}")
    parameters = inspect.signature(recipe).parameters.values()
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    with temporary_folder() as scratch:
        # Recipes that insist on writing their own manifests may do so where they are thrown away.
        settings = {"output_dir": scratch} if "output_dir" in needed else {}
        if len(others := [key for key in needed if key not in settings]) != 1:
            raise CorpusError(
                f"lhotse's recipe {name} needs {' and '.join(others) or 'more than one folder'}; call "
                f"lhotse.recipes.prepare_{name} in Python and save a CutSet"
            )
        who = f"{source}: lhotse's recipe {name}"
        sound = _Sound()
        try:
            with contextlib.redirect_stdout(sys.stderr), nothing_started(who), _read_by(sound):
                found = dict(_parts(recipe(source.resolve(), **settings)))
        except CorpusError:
            raise
        except Exception as error:  # a recipe raises whatever it meets, often an assertion
            reason = shown(" ".join(str(error).split()), 150) or type(error).__name__
            raise CorpusError(f"{who} cannot read it ({reason})") from error
    if not found:
        raise CorpusError(f"{who} finds nothing with text in it; check the folder")
    return {part: [sound.checked(cut, who) for cut in cuts] for part, cuts in found.items()}


class _Sound(AudioBackend):  # type: ignore[misc]
    """How recipes read sound: as it is read everywhere here, and one bad file does not stop the rest."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def supports_info(self) -> bool:
        """Whether `info` is implemented."""
        return True

    def info(self, path_or_fd: Any, **_: Any) -> LibsndfileCompatibleAudioInfo:
        """Channels, rate and length of a file; a second of nothing where it cannot be read."""
        path = path_or_fd
        try:
            seconds = audio.duration(path)
            try:
                known = soundfile.info(os.fsencode(path))
                rate, channels = known.samplerate, known.channels
            except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
                rate, channels = audio.load_native(path)[1], 1
        except AudioError as error:
            self.problems[str(path)] = str(error)
            seconds, rate, channels = UNKNOWN_SECONDS, 16000, 1
        return LibsndfileCompatibleAudioInfo(channels, round(seconds * rate), rate, seconds)

    def read_audio(
        self, path_or_fd: Any, offset: float = 0.0, duration: float | None = None, **_: Any
    ) -> tuple[Any, int]:
        """Samples (N,) and their rate."""
        return audio.load_native(path_or_fd, offset=offset, duration=duration)

    def checked(self, cut: MonoCut, who: str) -> Utterance:
        """The cut as plain data; CorpusError where its sound is not in files, or changed."""
        utterance = from_cut(cut.to_dict(), who)
        if utterance.changes:
            raise CorpusError(f"{who} changes the sound of {shown(utterance.id)}; save a CutSet with lhotse")
        problem = self.problems.get(str(utterance.sound))
        return replace(utterance, problem=problem) if problem else utterance


@contextlib.contextmanager
def _read_by(sound: AudioBackend) -> Iterator[None]:
    """lhotse reads all sound by this; its own way may start other programs."""
    before = backend.CURRENT_AUDIO_BACKEND
    backend.set_current_audio_backend(sound)
    try:
        yield
    finally:
        backend.CURRENT_AUDIO_BACKEND = before


def _parts(found: Any, name: str = "") -> Iterator[tuple[str, list[MonoCut]]]:
    """Each pair of recordings and supervisions in what a recipe returns, however deep it is in dicts."""
    if isinstance(found, tuple):
        found = dict(zip(("recordings", "supervisions"), found, strict=False))
    if not isinstance(found, dict):
        return
    recordings, supervisions = found.get("recordings"), found.get("supervisions")
    if isinstance(recordings, RecordingSet) and isinstance(supervisions, SupervisionSet):
        with_text = supervisions.filter(lambda supervision: bool(supervision.text)).to_eager()
        cuts = CutSet.from_manifests(recordings=recordings, supervisions=with_text)
        yield name or "all", _alone(cuts)
        return
    for key, value in found.items():
        yield from _parts(value, f"{name}-{key}" if name else str(key))


def _alone(cuts: CutSet) -> list[MonoCut]:
    """Each supervision as a cut of its own, without the others that overlap it, and of one channel."""
    alone = []
    for cut in cuts.trim_to_supervisions(keep_overlapping=False):
        if not isinstance(cut, MonoCut):
            raise CorpusError(f"the utterance {shown(cut.id)} has several channels; mix them first")
        alone.append(cut)
    return alone
