"""Sound in: any file, stream or array becomes one mono float32 waveform at the model's rate.

libsndfile (through soundfile) reads WAV, FLAC, Ogg, Opus, MP3, NIST Sphere and more. What it does not
know goes through the ``ffmpeg`` program where there is one. Whatever is wrong with the sound is an
:class:`~asr_seq2seq.errors.AudioError` of one sentence that names it. Sound is read, mixed and resampled
in blocks, so that :func:`blocks` takes no more memory for an hour than for a minute.
"""

import io
import math
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from asr_seq2seq.audio.channels import mix
from asr_seq2seq.audio.resampling import resample
from asr_seq2seq.errors import AudioError, SilentAudioError

MINIMUM_SECONDS = 0.025  # one analysis window of the features
LOUDEST = 1e6  # times full scale; its power, and that of a batch with it, would overflow
RATES = range(1_000, 1_000_001)  # Hz; what else a header claims is not believed
_BLOCK = 1 << 20  # samples of each channel that are read at a time
_UNKNOWN_BYTES = 0x7FFF_0000  # near 2^31 or 2^32 stands in a WAV header whose writer could not go back to it
_UNKNOWN_FRAMES = 1 << 40  # libsndfile gives a FLAC stream of unknown length 2^63 - 1 frames
_TOLERANCE_SECONDS = 0.05
_UNREADABLE = (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, MemoryError)

# Containers that hold sound themselves: a playlist from a stranger could open other files or the network.
_FFMPEG_FORMATS = "mov,matroska,aac,ac3,amr,ape,asf,avi,caf,dsf,dts,flac,flv,mp3,mpeg,mpegts,ogg,tta,wav,wv"

Samples = npt.NDArray[np.float32]
Source = str | Path | BinaryIO | bytes


class _Stream:
    """A binary file that ends ``stretch`` times as far off as it does when it is asked for its size."""

    def __init__(self, file: BinaryIO, stretch: int = 1) -> None:
        self.file = file
        self.stretch = stretch
        self._at_end = False

    def read(self, count: int) -> bytes:
        return self.file.read(count)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at_end = whence == io.SEEK_END
        # In damaged sound libsndfile seeks to before the start; its callback prints what that raises.
        return self.file.seek(offset, whence) if offset >= 0 or whence != io.SEEK_SET else -1

    def tell(self) -> int:
        return self.file.tell() * (self.stretch if self._at_end else 1)

    def piece(self, start: int, count: int) -> bytes:
        """``count`` bytes from ``start`` on; where the file stands does not change."""
        at = self.file.tell()
        self.file.seek(start)
        found = self.file.read(count)
        self.file.seek(at)
        return found


def load(
    source: Source,
    sample_rate: int,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Samples:
    """Read a sound as a mono waveform: float32 (N,), full scale at 1.0, of its channels
    what :mod:`~asr_seq2seq.audio.channels` makes of them.

    Args:
        source: a path, ``"-"`` for standard input, the bytes of a sound file, or an open binary file.
        sample_rate: the rate wanted, in Hz.
        offset: where to begin, in seconds.
        duration: how much to read, in seconds; where the sound ends before that, up to its end.
        channel: take this channel alone, counted from 0; an ``AudioError`` where there is none such.

    Raises:
        AudioError: no such file, not a sound, empty, silent (every sample zero), not finite, shorter
            than :data:`MINIMUM_SECONDS`, ``offset`` beyond the end, or a file cut short (a cut MP3 or Ogg
            passes: they need not tell their length; so may one that ffmpeg reads).
    """
    parts = blocks(source, sample_rate, offset=offset, duration=duration, channel=channel)
    return np.concatenate(list(parts))


def blocks(
    source: Source,
    sample_rate: int,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Iterator[Samples]:
    """The same waveform in successive blocks of (N_i,): what is read is not kept.

    What is wrong is raised where it is met, so that an error may come after good blocks.
    """
    if not (0 <= offset < math.inf and 0 < (1 if duration is None else duration) < math.inf):
        raise AudioError(f"cannot read {duration} s from {offset} s: give an offset >= 0 and a duration > 0")
    name, file = _locate(source)
    rate, samples = _decode(name, file, offset, duration)
    yield from _finish(mix(samples, rate, name, channel), rate, sample_rate, name)


def load_native(
    source: Source,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> tuple[Samples, int]:
    """Read a sound as :func:`load` does, but at the rate that it has: the waveform (N,) and the rate."""
    name, file = _locate(source)
    rate, samples = _decode(name, file, offset, duration)
    return np.concatenate(list(_finish(mix(samples, rate, name, channel), rate, rate, name))), rate


def from_samples(
    samples: npt.ArrayLike, rate: int, sample_rate: int, *, channel: int | None = None
) -> Samples:
    """Make a waveform, as :func:`load` does, of samples that an application already holds.

    Args:
        samples: (N,), (channels, N) or (N, channels), where the shorter axis is the channels, under 16.
            Floating point has full scale at 1.0; integers of 8 to 32 bits are scaled by their full range.
        rate: the rate of ``samples``, in Hz.
        sample_rate: the rate wanted, in Hz.
        channel: take this channel alone, counted from 0.

    Raises an ``AudioError`` for a shape or type that is no sound and for samples that :func:`load` refuses.
    """
    return np.concatenate(list(from_blocks([samples], rate, sample_rate, channel=channel)))


def from_blocks(
    parts: Iterable[npt.ArrayLike], rate: int, sample_rate: int, *, channel: int | None = None
) -> Iterator[Samples]:
    """The same for samples that come part by part, as from a microphone."""
    name = "the array of samples"
    if rate not in RATES:
        raise AudioError(f"{name} cannot have {rate} samples a second: give the rate it was recorded at")
    frames = (_frames(part, name) for part in parts)
    yield from _finish(mix(frames, int(rate), name, channel), int(rate), sample_rate, name)


def _frames(samples: npt.ArrayLike, name: str) -> Samples:
    """What an application holds as (N, channels)."""
    array = _array(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 0 < min(array.shape) < 16):
        wanted = "give (N,), (channels, N) or (N, channels), with 1 to 15 channels"
        raise AudioError(f"{name} has the shape {array.shape}: {wanted}")
    array = array if array.ndim == 2 and array.shape[0] >= array.shape[1] else np.atleast_2d(array).T
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if kind not in "fiu" or (kind in "iu" and bits > 32):
        raise AudioError(f"{name} is of type {array.dtype}: give floats or integers of 8, 16 or 32 bits")
    if kind in "iu":
        array = array / 2.0 ** (bits - 1) - (1.0 if kind == "u" else 0.0)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as that
        frames: Samples = array.astype(np.float32)
    return frames


def _array(samples: Any) -> npt.NDArray[Any]:
    """The array of what NumPy takes, and of a tensor of PyTorch's, which is not imported for that."""
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        samples = (samples.float() if str(samples.dtype) == "torch.bfloat16" else samples).numpy()
    return np.asarray(samples)


def duration(source: Source) -> float:
    """Return the seconds that a sound file lasts, by its header; where that does not tell, it is decoded.

    Raises an ``AudioError`` where the file is missing, empty or not a sound.
    """
    name, file = _locate(source)
    try:
        info = soundfile.info(_from_start(file))
        if info.format != "MP3" and 0 < info.frames < _UNKNOWN_FRAMES and info.samplerate in RATES:
            return int(info.frames) / int(info.samplerate)
    except _UNREADABLE:
        pass
    rate, samples = _decode(name, file, 0.0, None)
    return sum(len(block) for block in samples) / rate


def expected_seconds(source: object) -> float:
    """About how long a sound file lasts, by its header alone; 0 where that does not tell, and no error."""
    try:
        if not Path(str(source)).is_file():  # standard input or a pipe, of which nothing may be taken away
            return 0.0
        info = soundfile.info(os.fsencode(str(source)))
    except (*_UNREADABLE, OSError):
        return 0.0
    return info.frames / info.samplerate if 0 < info.frames < _UNKNOWN_FRAMES else 0.0


def _locate(source: Source) -> tuple[str, str | _Stream]:
    """What to call the source in messages, and what soundfile is to open: a path, or a file to seek in."""
    name = str(source if isinstance(source, str | Path) else getattr(source, "name", "the given sound"))
    file: BinaryIO
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            file = io.BytesIO(source)
        elif not isinstance(source, str | Path):
            if not hasattr(source, "read"):
                wanted = "give a path, bytes, an open file, an array or a tensor"
                raise AudioError(f"an object of type {type(source).__name__} is no sound: {wanted}")
            if not isinstance(source.read(0), bytes | bytearray):
                raise AudioError(f"{name} is open as text: open it in the mode rb")
            file = _on_disk(source)
        elif name == "-":
            if sys.stdin is None or sys.stdin.closed:
                raise AudioError("standard input is closed: open it, or name a sound file")
            name, file = "standard input", _on_disk(sys.stdin.buffer)
        else:
            mode = Path(source).stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                kind = "folder" if stat.S_ISDIR(mode) else "device"
                raise AudioError(f"{name} is a {kind} and not a sound file: name a file")
            with Path(source).open("rb") as opened:
                if stat.S_ISREG(mode) and opened.read(1):
                    return name, name
                file = _on_disk(opened)
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist: check the name of the sound file") from None
    except PermissionError:
        raise AudioError(f"{name} may not be read: change its permissions, or ask its owner") from None
    except (OSError, ValueError) as error:  # a name that is too long, a null character in it, a bad disk
        raise AudioError(f"{name!r} cannot be opened ({error}): check its name and place") from None
    if not file.read(1):
        raise AudioError(f"{name} is empty (0 bytes): copy or record it again")
    return name, _Stream(file)


def _on_disk(file: BinaryIO) -> BinaryIO:
    """What is left of a file that cannot be sought in, without keeping it in memory."""
    copy = tempfile.TemporaryFile(prefix="asr_seq2seq_")  # noqa: SIM115 (closed with its last user)
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy


def _decode(
    name: str, file: str | _Stream, offset: float, seconds: float | None
) -> tuple[int, Iterator[Samples]]:
    """The rate, and the mono samples in blocks (N_i,), by libsndfile, else by ffmpeg."""
    try:
        sound = soundfile.SoundFile(_from_start(file))
        if sound.format == "MP3":
            file = _whole_mp3(file)
            sound = soundfile.SoundFile(file)
        if sound.frames >= _UNKNOWN_FRAMES:
            raise ValueError("soundfile fails at the end of a stream whose length it does not know")
    except _UNREADABLE:  # TypeError: of a file called .raw, soundfile wants to be told more
        return _run_ffmpeg(name, file, offset, seconds)
    if sound.samplerate not in RATES:
        raise AudioError(f"{name} claims {sound.samplerate} samples a second: its header is damaged")
    return sound.samplerate, _read_piece(name, file, sound, offset, seconds)


def _from_start(file: str | _Stream) -> bytes | _Stream:
    """What soundfile takes: names as the system spells them, and files where their sound begins."""
    if isinstance(file, str):
        return os.fsencode(file)
    file.seek(0)
    return file


def _whole_mp3(source: str | _Stream) -> _Stream:
    # Where no tag in its first frame tells the length, libsndfile guesses it by the number of bytes and
    # reads no further, so that half of the sound can be lost: it is made to guess far too much.
    file = source if isinstance(source, _Stream) else _Stream(Path(source).open("rb"))  # noqa: SIM115
    head = file.piece(0, 10)
    id3 = 10 + sum(head[6 + index] << 21 - 7 * index for index in range(4)) if head[:3] == b"ID3" else 0
    file.stretch = 1 if re.search(b"Xing|Info|VBRI", file.piece(id3, 200)) else 64
    file.seek(0)
    return file


def _read_piece(
    name: str, file: str | _Stream, sound: soundfile.SoundFile, offset: float, seconds: float | None
) -> Iterator[Samples]:
    """Read mono blocks (N_i,); a piece that the file should hold and does not is an error."""
    rate: int = sound.samplerate
    known = sound.format != "MP3"
    with sound:
        try:
            promised = _promised_frames(file, sound) if known else _UNKNOWN_FRAMES
            start = round(offset * rate)
            stop = promised if seconds is None else min(promised, start + max(1, round(seconds * rate)))
            if known and stop - sound.frames > _TOLERANCE_SECONDS * rate:
                there = f"{promised / rate:.2f} s of sound and {sound.frames / rate:.2f} s are there"
                raise AudioError(f"{name} is cut short (its header promises {there}): copy it again")
            # An MP3 cannot be sought in exactly.
            position = sound.seek(start) if known and 0 < start < promised and sound.seekable() else 0
            while position < stop:
                block = sound.read(min(_BLOCK, stop - position), dtype="float32", always_2d=True)
                if not len(block):
                    break
                wanted = block[max(0, start - position) :]
                position += len(block)
                if len(wanted):
                    yield wanted
        except _UNREADABLE:
            raise AudioError(f"{name} is damaged or cut short: copy or convert it again") from None
        if start and position <= start:
            raise AudioError(f"{name} ends at {position / rate:.3f} s, before the offset of {offset:g} s")
        missing = min(stop, sound.frames) - position
        if known and sound.format != "OGG" and missing > _TOLERANCE_SECONDS * rate:
            raise AudioError(f"{name} is cut short or damaged after {position / rate:.2f} s: copy it again")


def _promised_frames(file: str | _Stream, sound: soundfile.SoundFile) -> int:
    """How many frames the header of a WAV, AIFF, AU or Sphere file promises."""
    # libsndfile takes what is there where that is less, and says so at most in its log.
    present: int = sound.frames
    if sound.format == "NIST":
        with io.BytesIO(file.piece(0, 1024)) if isinstance(file, _Stream) else Path(file).open("rb") as head:
            count = re.search(rb"^sample_count -i (\d{1,12})\s", head.read(1024), re.MULTILINE)
        return max(present, int(count[1])) if count else present
    pattern = r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)"
    wrong = re.search(pattern, sound.extra_info, re.MULTILINE)
    if wrong and 0 < int(wrong[2]) < int(wrong[1]) < _UNKNOWN_BYTES:
        return present * int(wrong[1]) // int(wrong[2])
    return present


def _run_ffmpeg(
    name: str, file: str | _Stream, offset: float, seconds: float | None
) -> tuple[int, Iterator[Samples]]:
    """Have ffmpeg decode the first sound track: its rate, and mono blocks (N_i,)."""
    program = shutil.which("ffmpeg")
    if program is None:
        why = "libsndfile cannot read it, and ffmpeg, which reads more, is not on PATH"
        raise AudioError(f"{name}: {why}; install ffmpeg, or convert the sound to WAV or FLAC")
    # An MP4 may keep its index at the end, so that ffmpeg needs a real file and not a pipe.
    copy = tempfile.NamedTemporaryFile(prefix="asr_seq2seq_") if isinstance(file, _Stream) else None  # noqa: SIM115
    if copy is not None and isinstance(file, _Stream):
        file.seek(0)
        shutil.copyfileobj(file.file, copy)
        copy.flush()
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]
    command += ["-format_whitelist", _FFMPEG_FORMATS, "-i", f"file:{copy.name if copy else file}"]
    command += ["-map", "0:a:0", "-ss", f"{offset:.6f}"]  # after the input: from the start, and exact
    command += ["-t", f"{seconds:.6f}"] if seconds is not None else []
    command += ["-c:a", "pcm_f32be", "-f", "au", "pipe:1"]  # AU: a short header that needs no going back
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **streams)
    except OSError as error:
        raise AudioError(f"{name} needs ffmpeg, and that does not start ({error}): mend it") from None
    output = process.stdout
    assert output is not None
    unreadable = AudioError(f"{name} is nothing that libsndfile or ffmpeg can read: give a sound file")
    header = output.read(24)
    if len(header) < 24 or header[:4] != b".snd":
        process.kill()
        process.wait()
        raise unreadable
    _, begin, _, _, rate, channels = struct.unpack(">4s5I", header)
    output.read(begin - len(header))

    def read() -> Iterator[Samples]:
        with process:  # waits for it, and closes the pipe
            try:
                while data := output.read(4 * channels * _BLOCK):
                    samples = np.frombuffer(data[: len(data) // (4 * channels) * 4 * channels], dtype=">f4")
                    yield samples.reshape(-1, channels).astype(np.float32)
            except GeneratorExit:
                process.kill()
                raise
            finally:
                if copy is not None:
                    copy.close()
        if process.returncode:
            raise unreadable

    return rate, read()


def _finish(parts: Iterable[Samples], rate: int, sample_rate: int, name: str) -> Iterator[Samples]:
    """Check and resample mono blocks (N_i,)."""
    count, silent = 0, True

    def checked() -> Iterator[Samples]:
        nonlocal count, silent
        for samples in parts:
            count += len(samples)
            silent = silent and not samples.any()
            yield np.array(samples)  # a copy: the caller's array may be read-only, or change

    for waveform in resample(checked(), rate, sample_rate):
        if not (np.abs(waveform) <= LOUDEST).all():  # false for NaN as well
            why = "samples that are NaN, infinite or absurdly large"
            raise AudioError(f"{name} holds {why}: export it again")
        yield waveform
    if not count:
        raise AudioError(f"{name} holds no samples: record or convert it again")
    if count < MINIMUM_SECONDS * rate:
        short = f"too short ({1000 * count / rate:.1f} ms of sound)"
        raise AudioError(f"{name} is {short}: at least {1000 * MINIMUM_SECONDS:g} ms are needed")
    if silent:  # each of them, or the mean of channels that cancel each other out
        why = "only digital silence (all samples are zero)"
        raise SilentAudioError(f"{name} holds {why}: check the recording")
