"""Workers of Ray: each holds the model once and is given one part after another.

Ray's own data sets are not used: a part is the unit that is written, done, or done again, and its sounds are
known by their lines in the plan. So nothing but numbers and names travels, and a worker that is killed is
started anew by Ray with the part that it had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from asr_seq2seq import signals
from asr_seq2seq.archive.plan import Plan, Source
from asr_seq2seq.archive.work import PartResult, transcribe_part
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.extras import needed
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.runtime.session import usable_threads
from asr_seq2seq.signals import while_importing

_AHEAD = 2  # parts that each worker is given at a time, so that it never waits


class _Worker:
    def __init__(self, load: Callable[[], Recognizer], plan: Plan) -> None:
        self.recognizer, self.plan = load(), plan

    def transcribe(self, part: int, sources: list[Source]) -> PartResult:
        """Transcribe a part and write its results."""
        return transcribe_part(self.recognizer, self.plan, part, sources)


def need_ray() -> None:
    """MissingExtraError where Ray is not installed."""
    with needed("--ray", "ray"):
        if find_spec("ray") is None:
            raise ModuleNotFoundError(name="ray")


def transcribe_parts(
    address: str, load: Callable[[], Recognizer], plan: Plan, threads: int
) -> Iterator[PartResult]:
    """Transcribe the parts that are not done, with a worker for every `threads` processors of the cluster.

    `address` is that of a cluster of Ray; with `auto` it is the one that runs here, or one on this machine
    for this command alone. ConfigError where there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of its use
    with while_importing(), needed("--ray", "ray"):
        import ray
    _join(ray, address)
    try:
        signals.end_cleanly()  # Ray has set its own handlers
        count = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        kind = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=-1)(_Worker)
        workers = [kind.remote(load, plan) for _ in range(min(count, plan.parts))]
        waiting = plan.waiting()
        running: dict[Any, Any] = {}
        for worker in workers * _AHEAD:
            _begin(worker, waiting, running)
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            worker = running.pop(done)
            _begin(worker, waiting, running)
            yield ray.get(done)
    finally:
        ray.shutdown()


def _begin(worker: Any, waiting: Iterator[tuple[int, list[Source]]], running: dict[Any, Any]) -> None:
    for part, sources in waiting:
        running[worker.transcribe.remote(part, sources)] = worker
        return


def _join(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    try:
        ray.init(address=address, **{name: options[name] for name in ("log_to_driver", "logging_level")})
    except ConnectionError as error:
        if address != "auto":
            what = brief(str(error).partition("\n")[0], 110)
            raise ConfigError(f"--ray {brief(address)}: no cluster answers there ({what})") from None
        ray.init(num_cpus=usable_threads(), **options)
