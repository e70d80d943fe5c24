"""Segments of all clients, decoded together in batches of similar length by one thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from asr_seq2seq import audio
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.inference.pipeline import Recognition
from asr_seq2seq.inference.recognizer import Job, Recognizer
from asr_seq2seq.server.errors import ApiError
from asr_seq2seq.server.metrics import Metrics
from asr_seq2seq.server.settings import ServerSettings
from asr_seq2seq.transcript import Segment, Transcript

Result = TypeVar("Result")
_READERS = 2
_BATCHES_CONSIDERED = 4  # of the segments that wait, so many batches are looked at for similar lengths


@dataclass(frozen=True, eq=False)
class _Entry:
    """A segment that waits, with the hot words and phrases of its request."""

    samples: Samples
    guide: Guide
    future: asyncio.Future[Recognition]


class BatchDecoder:
    """A queue of segments and the task that decodes them; everything but decoding is in the event loop."""

    def __init__(self, recognizer: Recognizer, settings: ServerSettings, metrics: Metrics) -> None:
        self.recognizer, self.settings, self.metrics = recognizer, settings, metrics
        self.rate = recognizer.sample_rate
        self._waiting: list[_Entry] = []
        self._more = asyncio.Event()
        self._decoder = ThreadPoolExecutor(1, "decode")
        self._readers = ThreadPoolExecutor(_READERS, "read")

    async def run(self) -> None:
        """Decode batches until the task ends."""
        loop = asyncio.get_running_loop()
        while True:
            await self._more.wait()
            if len(self._waiting) < self.recognizer.pipeline.batch_size:
                await asyncio.sleep(self.settings.batch_delay)
            batch = self._next_batch()
            if not batch:
                continue
            self.metrics.batch_size.observe(len(batch))
            call = loop.run_in_executor(self._decoder, self._decoded, batch)
            (found,) = await asyncio.gather(call, return_exceptions=True)
            for number, entry in enumerate(batch):
                if entry.future.done():
                    continue
                if isinstance(found, BaseException):
                    entry.future.set_exception(found)
                else:
                    entry.future.set_result(found[number])

    def close(self) -> None:
        """End the threads."""
        self._decoder.shutdown()
        self._readers.shutdown()

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do what decodes by itself, in the one thread that does."""
        return await asyncio.get_running_loop().run_in_executor(self._decoder, work)

    async def guide(self, hotwords: tuple[str, ...], prompt: str = "") -> Guide:
        """The server's hot words and phrases, and those of a request; ApiError for one that cannot be used.

        Of a prompt, which may be any text, what is no hot word is passed over.
        """
        pipeline = self.recognizer.pipeline
        if not hotwords and not prompt:
            return pipeline.guide

        def make() -> Guide:
            return pipeline.guide_with((*hotwords, *pipeline.hotwords_in(prompt, len(hotwords))))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, make)
        except ConfigError as error:
            raise ApiError(400, str(error), "bad_value", param="hotwords") from None

    def submit(self, samples: Samples, guide: Guide | None = None) -> asyncio.Future[Recognition]:
        """Put a segment in the queue; who cancels the future takes it out again."""
        future: asyncio.Future[Recognition] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(samples, guide or self.recognizer.pipeline.guide, future))
        self._more.set()
        return future

    async def segments(self, sound: bytes, job: Job) -> AsyncIterator[Segment]:
        """The segments of a sound file, each as soon as it and those before it are decoded.

        A batch of segments at most is in the queue at once, so that long sound lets others through.
        AudioError for a sound that cannot be used, ApiError for one that is too long.
        """
        loop = asyncio.get_running_loop()
        blocks = job.counted(audio.blocks(sound, self.rate), self.rate, lambda: self._check(job))
        parts = self.recognizer.pipeline.segments(blocks, self.recognizer.cut)
        flying: list[tuple[float, Samples, asyncio.Future[Recognition]]] = []
        try:
            while True:
                part = await loop.run_in_executor(self._readers, _next, parts)
                if part is not None:
                    flying.append((part[0] / self.rate, part[1], self.submit(part[1], job.guide)))
                while flying and (part is None or len(flying) >= self.recognizer.pipeline.batch_size):
                    start, samples, future = flying[0]
                    found = await future
                    del flying[0]
                    end = start + len(samples) / self.rate
                    if job.add(start, end, found):
                        yield job.segments[-1]
                if part is None:
                    return
        finally:
            for _, _, future in flying:
                future.cancel()

    async def transcribe(self, sound: bytes, guide: Guide | None = None) -> Transcript:
        """The transcript of a sound file, as `Recognizer.transcribe` gives it."""
        job = Job(guide=guide)
        async with aclosing(self.segments(sound, job)) as segments:  # type: ignore[type-var]
            async for _ in segments:
                pass
        self.metrics.sound_seconds.inc(job.seconds)
        return job.transcript()

    def _decoded(self, batch: list[_Entry]) -> list[Recognition]:
        """What is recognized in a batch; for the thread that decodes."""
        samples, guides = [entry.samples for entry in batch], [entry.guide for entry in batch]
        return self.recognizer.pipeline.recognize(samples, guides=guides)

    def _check(self, job: Job) -> None:
        if job.seconds > self.settings.sound_seconds:
            most = f"{self.settings.sound_seconds:g} seconds of sound"
            raise ApiError(413, f"at most {most} are taken: divide it", "sound_too_long", param="file")

    def _next_batch(self) -> list[_Entry]:
        """The oldest segment that waits, and those nearest to it in length."""
        self._waiting = [entry for entry in self._waiting if not entry.future.done()]
        size = self.recognizer.pipeline.batch_size
        considered = self._waiting[: size * _BATCHES_CONSIDERED]
        if not considered:
            self._more.clear()
            return []
        lengths = [len(entry.samples) for entry in considered]
        near = sorted(range(len(considered)), key=lambda number: abs(lengths[number] - lengths[0]))
        taken = sorted({0, *near[: size - 1]})
        batch = [considered[number] for number in taken]
        chosen = set(taken)
        self._waiting = [entry for number, entry in enumerate(self._waiting) if number not in chosen]
        if not self._waiting:
            self._more.clear()
        return batch


def _next(parts: Iterator[tuple[int, Samples]]) -> tuple[int, Samples] | None:
    return next(parts, None)
