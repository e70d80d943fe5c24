"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "asr_requests",
            "Requests answered, by path and status.",
            ["path", "status"],
            registry=self.registry,
        )
        self.sound_seconds = Counter(
            "asr_sound_seconds", "Seconds of sound transcribed.", registry=self.registry
        )
        self.latency = Histogram(
            "asr_transcription_seconds",
            "Seconds from the first byte of a request for a transcript to its answer.",
            registry=self.registry,
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
        )
        self.waiting = Gauge("asr_requests_held", "Requests that are held now.", registry=self.registry)
        self.live = Gauge("asr_live_sessions", "Live sessions that are open now.", registry=self.registry)
        self.batch_size = Histogram(
            "asr_batch_segments",
            "Segments decoded together.",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
