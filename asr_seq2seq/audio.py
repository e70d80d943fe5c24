"""Sound in: any file, stream or array becomes one mono float32 waveform at the model's rate.

libsndfile (through soundfile) reads WAV, FLAC, Ogg, Opus, MP3, NIST Sphere and more. What it does not
know goes through the ``ffmpeg`` program where there is one. Whatever is wrong with the sound is an
:class:`~asr_seq2seq.errors.AudioError` of one sentence that names it.
"""

import io
import math
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import torch
import torchaudio

from asr_seq2seq.errors import AudioError, SilentAudioError

MINIMUM_SECONDS = 0.025  # one analysis window of the features
LOUDEST = 1e6  # times full scale; its power, and that of a batch with it, would overflow
RATES = range(1_000, 1_000_001)  # Hz; what else a header claims is not believed
_UNKNOWN_BYTES = 0x7FFF_0000  # near 2^31 or 2^32 stands in a WAV header whose writer could not go back to it
_UNKNOWN_FRAMES = 1 << 40  # libsndfile gives a FLAC stream of unknown length 2^63 - 1 frames
_TOLERANCE_SECONDS = 0.05
_UNREADABLE = (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, MemoryError)

# Containers that hold sound themselves: a playlist from a stranger could open other files or the network.
_FFMPEG_FORMATS = "mov,matroska,aac,ac3,amr,ape,asf,avi,caf,dsf,dts,flac,flv,mp3,mpeg,mpegts,ogg,tta,wav,wv"

_resampler = lru_cache(maxsize=16)(torchaudio.transforms.Resample)  # making its filters takes a while
Samples = npt.NDArray[np.float32]
Source = str | Path | BinaryIO | bytes


class _Memory(io.BytesIO):
    """Bytes as a file, which ends ``stretch`` times as far off as it does when it is asked for its size."""

    stretch = 1
    _at_end = False

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at_end = whence == io.SEEK_END
        # In damaged sound libsndfile seeks to before the start; its callback prints what that raises.
        return super().seek(offset, whence) if offset >= 0 or whence != io.SEEK_SET else -1

    def tell(self) -> int:
        return super().tell() * (self.stretch if self._at_end else 1)


def load(
    source: Source, sample_rate: int, *, offset: float = 0.0, duration: float | None = None
) -> torch.Tensor:
    """Read a sound as a mono waveform: float32 (N,), full scale at 1.0, the mean of the channels.

    Args:
        source: a path, ``"-"`` for standard input, the bytes of a sound file, or an open binary file.
        sample_rate: the rate wanted, in Hz.
        offset: where to begin, in seconds.
        duration: how much to read, in seconds; where the sound ends before that, up to its end.

    Raises:
        AudioError: no such file, not a sound, empty, silent (every sample zero), not finite, shorter
            than :data:`MINIMUM_SECONDS`, ``offset`` beyond the end, or a file cut short (a cut MP3 or Ogg
            passes: they need not tell their length).
    """
    return load_native(source, offset=offset, duration=duration, sample_rate=sample_rate)[0]


def load_native(
    source: Source, *, offset: float = 0.0, duration: float | None = None, sample_rate: int | None = None
) -> tuple[torch.Tensor, int]:
    """Read a sound as :func:`load` does, and return its own rate beside it.

    Without ``sample_rate`` the waveform has that rate too.
    """
    if not (0 <= offset < math.inf and 0 < (1 if duration is None else duration) < math.inf):
        raise AudioError(f"cannot read {duration} s from {offset} s: give an offset >= 0 and a duration > 0")
    name, file = _locate(source)
    samples, rate = _decode(name, file, offset, duration)
    return _finish(samples, rate, sample_rate or rate, name), rate


def from_samples(samples: npt.NDArray[Any] | torch.Tensor, rate: int, sample_rate: int) -> torch.Tensor:
    """Make a waveform, as :func:`load` does, of samples that an application already holds.

    Args:
        samples: (N,), (channels, N) or (N, channels), where the shorter axis is the channels, under 16.
            Floating point has full scale at 1.0; integers of 8 to 32 bits are scaled by their full range.
        rate: the rate of ``samples``, in Hz.
        sample_rate: the rate wanted, in Hz.

    Raises an ``AudioError`` for a shape or type that is no sound and for samples that :func:`load` refuses.
    """
    name = "the array of samples"
    if rate not in RATES:
        raise AudioError(f"{name} cannot have {rate} samples a second: give the rate it was recorded at")
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.dtype is torch.bfloat16 else samples).numpy()
    array = np.asarray(samples)
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
        mono = _mix(array.astype(np.float32))
    return _finish(mono, int(rate), sample_rate, name)


def duration(source: Source) -> float:
    """Return the seconds that a sound file lasts, by its header; where that does not tell, it is decoded.

    Raises an ``AudioError`` where the file is missing, empty or not a sound.
    """
    name, file = _locate(source)
    try:
        info = soundfile.info(file)
        if info.format != "MP3" and 0 < info.frames < _UNKNOWN_FRAMES and info.samplerate in RATES:
            return int(info.frames) / int(info.samplerate)
    except _UNREADABLE:
        pass
    samples, rate = _decode(name, file, 0.0, None)
    return len(samples) / rate


def _locate(source: Source) -> tuple[str, str | _Memory]:
    """What to call the source in messages, and what soundfile is to open: a path or bytes in memory."""
    name = str(source if isinstance(source, str | Path) else getattr(source, "name", "the given sound"))
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif not isinstance(source, str | Path):
            if not hasattr(source, "read"):
                wanted = "give a path, bytes, an open file, an array or a tensor"
                raise AudioError(f"an object of type {type(source).__name__} is no sound: {wanted}")
            data = source.read()
            if not isinstance(data, bytes | bytearray):
                raise AudioError(f"{name} is open as text: open it in the mode rb")
        elif name == "-":
            name, data = "standard input", sys.stdin.buffer.read()
        else:
            mode = Path(source).stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                kind = "folder" if stat.S_ISDIR(mode) else "device"
                raise AudioError(f"{name} is a {kind} and not a sound file: name a file")
            with Path(source).open("rb") as file:
                data = file.read(-1 if stat.S_ISFIFO(mode) else 1)
            if data and stat.S_ISREG(mode):
                return name, name
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist: check the name of the sound file") from None
    except PermissionError:
        raise AudioError(f"{name} may not be read: change its permissions, or ask its owner") from None
    except (OSError, ValueError) as error:  # a name that is too long, a null character in it, a bad disk
        raise AudioError(f"{name!r} cannot be opened ({error}): check its name and place") from None
    if not data:
        raise AudioError(f"{name} is empty (0 bytes): copy or record it again")
    return name, _Memory(data)


def _decode(name: str, file: str | _Memory, offset: float, seconds: float | None) -> tuple[Samples, int]:
    """Read mono (N,) samples and their rate with libsndfile, else with ffmpeg."""
    try:
        if isinstance(file, _Memory):
            file.seek(0)
        sound = soundfile.SoundFile(file)
        if sound.format == "MP3":
            file = _whole_mp3(file)
            sound = soundfile.SoundFile(file)
        if sound.frames >= _UNKNOWN_FRAMES:
            raise ValueError("soundfile fails at the end of a stream whose length it does not know")
    except _UNREADABLE:  # TypeError: of a file called .raw, soundfile wants to be told more
        wave = _run_ffmpeg(name, file, offset, seconds)
        return _decode(name, _Memory(wave), 0.0, None)  # ffmpeg has cut the piece already
    with sound:
        if sound.samplerate not in RATES:
            raise AudioError(f"{name} claims {sound.samplerate} samples a second: its header is damaged")
        try:
            return _read_piece(name, file, sound, offset, seconds), sound.samplerate
        except _UNREADABLE:
            raise AudioError(f"{name} is damaged or cut short: copy or convert it again") from None


def _whole_mp3(source: str | _Memory) -> _Memory:
    # Where no tag in its first frame tells the length, libsndfile guesses it by the number of bytes and
    # reads no further, so that half of the sound can be lost: it is made to guess far too much.
    data = source.getvalue() if isinstance(source, _Memory) else Path(source).read_bytes()
    file = _Memory(data)
    id3 = 10 + sum(data[6 + index] << 21 - 7 * index for index in range(4)) if data[:3] == b"ID3" else 0
    file.stretch = 1 if re.search(b"Xing|Info|VBRI", data[id3 : id3 + 200]) else 64
    return file


def _read_piece(
    name: str, file: str | _Memory, sound: soundfile.SoundFile, offset: float, seconds: float | None
) -> Samples:
    """Read mono (N,) samples; a piece that the file should hold and does not is an error."""
    rate: int = sound.samplerate
    known = sound.format != "MP3"
    promised = _promised_frames(file, sound) if known else _UNKNOWN_FRAMES
    start = round(offset * rate)
    stop = promised if seconds is None else min(promised, start + max(1, round(seconds * rate)))
    if known and stop - sound.frames > _TOLERANCE_SECONDS * rate:
        lengths = f"promises {promised / rate:.2f} s of sound and {sound.frames / rate:.2f} s are there"
        raise AudioError(f"{name} is cut short (its header {lengths}): copy it again")
    # By blocks: an MP3 can neither be sought in exactly nor be given room beforehand, and a damaged
    # header may promise more than the memory holds.
    position = sound.seek(start) if known and 0 < start < promised and sound.seekable() else 0
    blocks: list[Samples] = []
    while position < stop:
        block = sound.read(min(1 << 20, stop - position), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(_mix(block[max(0, start - position) :]))
        position += len(block)
    if start and position <= start:
        raise AudioError(f"{name} ends at {position / rate:.3f} s, before the offset of {offset:g} s")
    if known and sound.format != "OGG" and min(stop, sound.frames) - position > _TOLERANCE_SECONDS * rate:
        raise AudioError(f"{name} is cut short or damaged after {position / rate:.2f} s: copy it again")
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)


def _promised_frames(file: str | _Memory, sound: soundfile.SoundFile) -> int:
    """How many frames the header of a WAV, AIFF, AU or Sphere file promises."""
    # libsndfile takes what is there where that is less, and says so at most in its log.
    present: int = sound.frames
    if sound.format == "NIST":
        with io.BytesIO(file.getvalue()) if isinstance(file, _Memory) else Path(file).open("rb") as opened:
            count = re.search(rb"^sample_count -i (\d{1,12})\s", opened.read(1024), re.MULTILINE)
        return max(present, int(count[1])) if count else present
    pattern = r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)"
    wrong = re.search(pattern, sound.extra_info, re.MULTILINE)
    if wrong and 0 < int(wrong[2]) < int(wrong[1]) < _UNKNOWN_BYTES:
        return present * int(wrong[1]) // int(wrong[2])
    return present


def _run_ffmpeg(name: str, file: str | _Memory, offset: float, seconds: float | None) -> bytes:
    """Have ffmpeg turn the first sound track into a floating-point WAV in memory."""
    program = shutil.which("ffmpeg")
    if program is None:
        why = "libsndfile cannot read it, and ffmpeg, which reads more, is not on PATH"
        raise AudioError(f"{name}: {why}; install ffmpeg, or convert the sound to WAV or FLAC")
    try:
        # An MP4 may keep its index at the end, so that ffmpeg needs a real file and not a pipe.
        with tempfile.NamedTemporaryFile(prefix="asr_seq2seq_") as copy:
            if isinstance(file, _Memory):
                copy.write(file.getbuffer())
                copy.flush()
            path = copy.name if isinstance(file, _Memory) else file
            command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]
            command += ["-format_whitelist", _FFMPEG_FORMATS, "-i", f"file:{path}", "-map", "0:a:0"]
            command += ["-ss", f"{offset:.6f}"]  # after the input: it decodes from the start, and is exact
            command += ["-t", f"{seconds:.6f}"] if seconds is not None else []
            command += ["-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
            result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise AudioError(f"{name} needs ffmpeg, and that does not start ({error}): mend it") from None
    if result.returncode or not result.stdout:
        raise AudioError(f"{name} is nothing that libsndfile or ffmpeg can read: give a sound file")
    return result.stdout


def _mix(samples: Samples) -> Samples:
    """The mean (N,) of channels (N, C)."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    with np.errstate(invalid="ignore"):  # opposite infinities; not finite samples are found at the end
        mono: Samples = samples.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mono


def _finish(samples: Samples, rate: int, sample_rate: int, name: str) -> torch.Tensor:
    """Check mono (N,) and resample: (N',)."""
    if not len(samples):
        raise AudioError(f"{name} holds no samples: record or convert it again")
    if len(samples) < MINIMUM_SECONDS * rate:
        short = f"too short ({1000 * len(samples) / rate:.1f} ms of sound)"
        raise AudioError(f"{name} is {short}: at least {1000 * MINIMUM_SECONDS:g} ms are needed")
    if not samples.any():  # each of them, or the mean of channels that cancel each other out
        raise SilentAudioError(
            f"{name} holds only digital silence (all samples are zero): check the recording"
        )
    waveform = torch.from_numpy(np.array(samples))  # a copy: the caller's array may be read-only
    if rate != sample_rate:
        waveform = _resample(waveform, rate, sample_rate)
    if not bool((waveform.abs() <= LOUDEST).all()):  # false for NaN as well
        raise AudioError(f"{name} holds samples that are NaN, infinite or absurdly large: export it again")
    return waveform


def _resample(waveform: torch.Tensor, rate: int, sample_rate: int) -> torch.Tensor:
    """Change the rate of (N,) from ``rate`` to ``sample_rate``, both in Hz."""
    if rate * sample_rate // math.gcd(rate, sample_rate) ** 2 <= 1_000_000:
        resampled: torch.Tensor = _resampler(rate, sample_rate)(waveform)
        return resampled
    # Two rates with almost nothing in common would need a huge table of filters there.
    import librosa

    samples = librosa.resample(waveform.numpy(), orig_sr=rate, target_sr=sample_rate, res_type="soxr_hq")
    return torch.from_numpy(samples)
