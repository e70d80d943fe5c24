"""Sound that libsndfile reads, through soundfile: exact and fast for WAV, FLAC, AIFF, AU, Sphere and kin."""

import os
import re
from collections.abc import Iterator

import soundfile

from asr_seq2seq.audio.checks import BLOCK_VALUES, Samples, check_shape, cut_short, damaged
from asr_seq2seq.audio.source import SoundFile

TOLERANCE_SECONDS = 0.05
UNKNOWN_FRAMES = 1 << 40  # libsndfile gives a FLAC stream of unknown length 2^63 - 1 frames
PROBLEMS = (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, MemoryError)
# Of joined MP3s it reads the first only, of one without a length a part; of VOC, blocks as samples.
_LEFT_TO_OTHERS = {"MP3", "MPEG", "VOC"}


class LibsndfileSound:
    """A sound with its ``rate`` in Hz, and its ``length`` in samples once it is read to its end."""

    def __init__(self, name: str, file: SoundFile, share: float = 1.0, *, every: bool = False) -> None:
        """Open a file of which a ``share`` is there.

        ``ValueError`` where that is for others to read, which MP3 is unless ``every``.
        """
        self.name = name
        self.length: int | None = None
        file.seek(0)
        whole = file.path is not None and file.patch is None
        try:
            self._sound = soundfile.SoundFile(os.fsencode(file.path) if whole and file.path else file)
        except PROBLEMS as error:  # TypeError: of a file called .raw, soundfile wants to be told more
            raise ValueError(str(error)) from None
        sound = self._sound
        if (sound.format in _LEFT_TO_OTHERS and not every) or sound.subtype.startswith("MPEG_"):
            raise ValueError("its length is not known")
        if sound.frames >= UNKNOWN_FRAMES:
            raise ValueError("soundfile fails at the end of a stream whose length it does not know")
        check_shape(name, sound.samplerate, sound.channels)
        self.rate: int = sound.samplerate
        self.frames: int = sound.frames
        self._promised = max(sound.frames, round(sound.frames / share) if share > 0 else sound.frames)
        if sound.format == "NIST":
            self._promised = max(sound.frames, _sphere_frames(file.at(0, 1024)))

    def read(self, start: int, stop: int | None) -> Iterator[Samples]:
        """Blocks (N_i, channels) from sample ``start`` to ``stop``."""
        rate, sound = self.rate, self._sound
        with sound:
            stop = self._promised if stop is None else min(self._promised, stop)
            if stop - sound.frames > TOLERANCE_SECONDS * rate:
                raise cut_short(self.name, self._promised / rate, sound.frames / rate)
            size = max(1, BLOCK_VALUES // sound.channels)
            try:
                position = sound.seek(min(start, sound.frames)) if start and sound.seekable() else 0
                while position < stop:
                    block = sound.read(min(size, stop - position), dtype="float32", always_2d=True)
                    if not len(block):
                        break
                    wanted = block[max(0, start - position) :]
                    position += len(block)
                    if len(wanted):
                        yield wanted
            except PROBLEMS:
                raise damaged(self.name) from None
            if min(stop, sound.frames) - position > TOLERANCE_SECONDS * rate:
                raise cut_short(self.name, sound.frames / rate, position / rate)
            self.length = position


def _sphere_frames(head: bytes) -> int:
    """The number of samples that the header of a Sphere file promises; libsndfile takes what is there."""
    count = re.search(rb"^sample_count -i (\d{1,12})\s", head, re.MULTILINE)
    return int(count[1]) if count else 0
