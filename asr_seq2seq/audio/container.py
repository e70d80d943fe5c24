"""Sound of any container that PyAV (FFmpeg's libraries, in this process) knows, by its own clock.

What is opened is a file object and never a name; only containers that hold their sound themselves are
allowed, and whatever else a demuxer asks to be opened is refused, so that a file from elsewhere cannot
make this program read another file or the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby, pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from asr_seq2seq.audio.checks import Samples, check_shape, cut_short, damaged, gathered, zeros
from asr_seq2seq.audio.resampling import resample
from asr_seq2seq.audio.source import SoundFile
from asr_seq2seq.errors import AudioError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet

# FFmpeg's names of demuxers. Playlists (hls, dash, concat, sdp ...), pictures, scripts, devices and
# headerless samples are not among them.
CONTAINERS = (
    "aac,aax,ac3,act,adx,aea,afc,aiff,amr,apac,apc,ape,asf,ast,au,avi,bonk,caf,dsf,dss,dts,dtshd,eac3,epaf,"
    "flac,flv,gsm,iff,ilbc,ircam,kux,laf,lc3,live_flv,loas,matroska,webm,mca,mlp,mmf,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpc,mpc8,mpeg,mpegts,msf,mtaf,mxf,nistsphere,nsv,nut,ogg,oma,osq,paf,pvf,qcp,qoa,rm,rso,sbc,sds,shn,"
    "sol,sox,spdif,svs,tak,truehd,tta,voc,vqf,w64,wav,wavarc,wsaud,wsd,wtv,wv,wve,xa,xwma"
)
_OPTIONS = {
    "format_whitelist": CONTAINERS,
    "protocol_whitelist": "none",
    "enable_drefs": "0",  # MOV: sound that lies in another file
    "use_absolute_path": "0",
}
# Their frames carry times of one clock; in others only the order of frames counts.
_CLOCKED = {"mov", "matroska", "mpegts", "mpeg", "flv", "live_flv", "asf", "mxf", "ogg", "wtv"}
_RESTARTING = {"mpegts", "mpeg", "ogg", "wtv"}  # a leap in their times may also begin another clock
_LEAP_SECONDS = 10
_GAP_SECONDS = 0.1  # less than that is the rounding of times
_MOST_SILENCE = 3600  # seconds that gaps may add up to
# Streams of frames in which a decoder finds its way again: tags and cut frames lie between them.
_RESYNCHRONIZED = {"mp3", "aac", "ac3", "eac3", "amr", "loas", "dts", "mpegts", "mpeg"}
# Where the header tells the length of the track, or of the whole.
_TRACK_LENGTH = {"mov", "aiff", "au", "caf", "tta", "wv", "ape", "flac", "dsf", "nistsphere", "mpc", "mpc8"}
_WHOLE_LENGTH = {"matroska", "flv"}
_SCALES = {"u1": 2.0**-7, "i2": 2.0**-15, "i4": 2.0**-31}


class _Damaged(AudioError):
    """The track ends badly, which another reader may not find."""

    def __init__(self, name: str) -> None:
        super().__init__(str(damaged(name)))


class _Refused(Exception):
    """A demuxer asked for another file."""


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise _Refused


@dataclass(frozen=True)
class _Frame:
    """Samples (N, channels) with their rate, and the second at which they belong, where that is told."""

    samples: Samples
    rate: int
    time: Fraction | None


class ContainerSound:
    """The first sound track of a container: ``rate`` in Hz, and ``length`` once it is read."""

    def __init__(self, name: str, file: SoundFile, share: float = 1.0) -> None:
        """Open a file of which a ``share`` is there; ``ValueError`` where no sound is found in it."""
        import av

        self.name, self.file, self._share = name, file, share
        self.length: int | None = None
        self._latest = Fraction(0)
        # PyAV raises ValueError for samples of a kind that it does not know.
        self._problems = (av.error.FFmpegError, _Refused, OSError, ValueError, MemoryError)
        self._open()
        self._frames = self._decode()
        try:
            first = next(self._frames, None)
        except _Damaged as error:
            raise ValueError(str(error)) from None
        if first is None:
            raise ValueError("no frame of sound")
        self._first = first
        self.rate = first.rate
        check_shape(name, self.rate, first.samples.shape[1])

    def _open(self) -> None:
        import av

        self.file.seek(0)
        # Given as `options`, PyAV before 18 crashes where streams are found late (FLV, MPEG).
        options: dict[str, Any] = {"container_options": _OPTIONS}
        if int(av.__version__.split(".")[0]) < 19:  # later releases never fail on tags that are no UTF-8
            options["metadata_errors"] = "replace"
        try:
            self._container = av.open(self.file, "r", io_open=_refuse, **options)
        except self._problems as error:
            raise ValueError(str(error)) from None
        self.format = self._container.format.name.split(",")[0]
        tracks = [stream for stream in self._container.streams.audio if stream.codec_context is not None]
        if not tracks:
            raise AudioError(f"{self.name} has no sound track that can be decoded: give a file with sound")
        self._stream = tracks[0]

    def _decode(self) -> Iterator[_Frame]:
        """The frames of the track; _Damaged where they end badly."""
        packets, bad = 0, 0
        for packet in self._packets():
            packets += 1
            try:
                decoded: Any = packet.decode()
                frames = [self._frame(frame) for frame in decoded if frame.samples]
            except self._problems:
                bad += 1
                if self.format not in _RESYNCHRONIZED:
                    raise _Damaged(self.name) from None
                continue
            yield from frames
        if bad > 2 + packets // 20:
            raise _Damaged(self.name)

    def _packets(self) -> Iterator[Packet[Any]]:
        """The packets of the track; where all must be seen to know the end, the others are passed over."""
        whole = self.format in _WHOLE_LENGTH
        packets = self._container.demux() if whole else self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except IndexError:  # at the end, PyAV looks for a stream that it did not find at the beginning
                return
            except self._problems:
                raise _Damaged(self.name) from None
            if packet is None:
                return
            if whole and packet.pts is not None and packet.time_base:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._latest = max(self._latest, end)
            if packet.stream_index == self._stream.index:
                yield packet

    def _frame(self, frame: AudioFrame) -> _Frame:
        check_shape(self.name, frame.sample_rate, frame.layout.nb_channels)
        time = None
        if self.format in _CLOCKED and frame.pts is not None and frame.time_base is not None:
            time = frame.pts * frame.time_base
        return _Frame(_samples(frame), frame.sample_rate, time)

    def read(self, start: int, stop: int | None) -> Iterator[Samples]:
        """Blocks (N_i, channels) from sample ``start`` to ``stop`` at ``rate``; it can be done once."""
        position = 0
        runs = groupby(self._timed(), key=lambda item: (item[0], item[1].shape[1]))
        for (rate, _), run in runs:
            for block in resample(gathered(samples for _, samples in run), rate, self.rate):
                wanted = block[max(0, start - position) :]
                if stop is not None:
                    wanted = wanted[: max(0, stop - max(start, position))]
                position += len(block)
                if len(wanted):
                    yield wanted
                if stop is not None and position >= stop:
                    return
        self.length = position
        self._check_length(position / self.rate)

    def _timed(self) -> Iterator[tuple[int, Samples]]:
        """Rates and blocks of the track, with silence where the file's clock runs and no sound is there."""
        at, silence = Fraction(0), Fraction(0)  # seconds
        base, end, tail = self._zero(), self._end(), None
        for frame, following in pairwise(chain([self._first], self._frames, [None])):
            assert frame is not None
            rate, samples = frame.rate, frame.samples
            if tail is not None:  # there is more after the end that the header gives
                yield tail
                at, tail = at + Fraction(len(tail[1]), tail[0]), None
            if frame.time is not None:
                due = frame.time - base
                gap = due - at
                back = following is not None and following.time is not None and following.time < frame.time
                leap = self.format in _RESTARTING and at and gap > _LEAP_SECONDS
                if leap or gap < -_GAP_SECONDS:
                    base += gap
                elif gap > (_GAP_SECONDS if at else 0) and not back:  # one time alone is wrong
                    silence += gap
                    if silence > _MOST_SILENCE:
                        raise AudioError(f"{self.name} has gaps of over {_MOST_SILENCE} s: convert it again")
                    yield from ((rate, part) for part in zeros(round(gap * rate), samples.shape[1]))
                    at = due
            if end is not None and at < end < at + Fraction(len(samples), rate):
                count = round((end - at) * rate)
                samples, tail = samples[:count], (rate, samples[count:])
            yield rate, samples
            at += Fraction(len(samples), rate)

    def _zero(self) -> Fraction:
        """The second of the file's clock at which its sound and picture begin."""
        start = self._container.start_time
        return max(Fraction(0), Fraction(start, 1_000_000)) if start is not None else Fraction(0)

    def _end(self) -> Fraction | None:
        """Where the header of an MP4 ends the track, often within the last frame; seconds of sound."""
        stream = self._stream
        if self.format != "mov" or not stream.duration or stream.start_time is None:
            return None
        end: Fraction = (stream.start_time + stream.duration) * Fraction(stream.time_base)
        return end - self._zero()

    def _check_length(self, seconds: float) -> None:
        """AudioError where clearly less was there than the header tells."""
        promised, there = 0.0, seconds
        stream, duration = self._stream, self._container.duration
        if 0 < self._share < 1:
            promised = seconds / self._share
        elif self.format in _TRACK_LENGTH and stream.duration:
            start = (stream.start_time or 0) * stream.time_base - self._zero()
            promised = float(start + stream.duration * stream.time_base)
        elif self.format in _WHOLE_LENGTH and duration:
            promised, there = duration / 1e6, max(seconds, float(self._latest))
        if not promised:
            return
        loose = self.format in _WHOLE_LENGTH
        tolerance = max(1.0, 0.05 * promised) if loose else max(0.15, 0.01 * promised)
        if promised - there > tolerance:
            raise cut_short(self.name, promised, there)


def _samples(frame: AudioFrame) -> Samples:
    """The samples (N, channels) of a frame, full scale at 1.0."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    samples: Samples = array.astype(np.float32)
    name = array.dtype.str[1:]
    if name in _SCALES:
        samples *= np.float32(_SCALES[name])
        if name == "u1":
            samples -= 1
    return samples
