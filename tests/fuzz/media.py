"""Sound in any container, made in this process by PyAV, for tests."""

from __future__ import annotations

import io

import av
import numpy as np

_RATES = {"wmav1": 48_000, "wmav2": 48_000}  # bits a second; they refuse what is usual
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def encode(
    samples: np.ndarray,
    rate: int,
    container: str,
    codec: str,
    *,
    start: float = 0.0,
    gap: tuple[float, float] = (0.0, 0.0),
    picture: float = 0.0,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """Samples (N,) or (N, channels) as a file.

    The track begins at ``start`` s; after ``gap[0]`` s of it, nothing follows for ``gap[1]`` s. A video
    track of ``picture`` s begins at 0.
    """
    samples = np.atleast_2d(np.asarray(samples, dtype=np.float32).T).T
    layout = LAYOUTS[samples.shape[1]]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options or {}) as file:
        if picture:
            video = file.add_stream("mjpeg", rate=10)
            video.width = video.height = 32
            video.pix_fmt = "yuvj420p"
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if bit_rate or codec in _RATES:
            stream.bit_rate = bit_rate or _RATES[codec]
        for number in range(round(picture * 10)):
            image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 255, np.uint8), format="rgb24")
            image.pts = number
            for packet in video.encode(image):
                file.mux(packet)
        if picture:
            for packet in video.encode(None):
                file.mux(packet)
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        convert = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for at in range(0, len(samples), size):
            part = np.ascontiguousarray(samples[at : at + size].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, at
            for converted in convert.resample(frame):
                later = gap[1] if at >= gap[0] * rate else 0.0
                converted.pts = at + round((start + later) * rate)
                for packet in stream.encode(converted):
                    file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return buffer.getvalue()
