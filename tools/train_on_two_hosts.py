"""Train on two hosts that are two network namespaces of this machine; needs root and `ip`.

    python tools/train_on_two_hosts.py RECIPE.yaml OUT

runs the two-machine commands of docs/training.md, one process a host, and then one process with
`training.accumulate=2`, whose steps are the same; prints how far their losses lie apart.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

HOSTS = ("asr_host_0", "asr_host_1")
ADDRESSES = ("10.231.7.1", "10.231.7.2")
LINKS = ("asr_link_0", "asr_link_1")
PORT = 29517


def main(
    recipe: Annotated[Path, typer.Argument(help="A recipe in YAML.")],
    out: Annotated[Path, typer.Argument(help="Folder for the two runs; must not exist.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="As of `train`.")] = None,
    patience: Annotated[
        float | None,
        typer.Option(help="Seconds after which hosts that are not done are asked where they are."),
    ] = None,
) -> None:
    """Train a recipe on two hosts and on one, and compare the losses."""
    if os.geteuid() or shutil.which("ip") is None:
        print("error: making network namespaces needs root and the program ip", file=sys.stderr)
        raise typer.Exit(2)
    changes = [part for setting in settings or [] for part in ("--set", setting)]
    train = ["asr_seq2seq", "train", str(recipe), *changes, "--device", "cpu"]
    try:
        connect()
        hosts = []
        for rank, host in enumerate(HOSTS):
            command = ["ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run"]
            command += ["--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"]
            command += [f"--master-addr={ADDRESSES[0]}", f"--master-port={PORT}", "-m", "--"]
            command += [*train, "--run", str(out / f"host_{rank}")]
            environment = os.environ | {"GLOO_SOCKET_IFNAME": LINKS[rank], "PYTHONFAULTHANDLER": "1"}
            hosts.append(subprocess.Popen(command, env=environment))
        codes = wait(hosts, patience)
    finally:
        disconnect()
    if any(codes):
        print(f"error: training on two hosts ended with the codes {codes}", file=sys.stderr)
        raise typer.Exit(1)
    alone = [sys.executable, "-m", *train, "--set", "training.accumulate=2", "--run", str(out / "one")]
    subprocess.run(alone, check=True)
    two, one = losses(out / "host_0"), losses(out / "one")
    apart = max(abs(a - b) for a, b in zip(two, one, strict=True))
    print(f"{len(one)} epochs; the losses of two hosts and of one lie at most {apart:.2e} apart")


def wait(hosts: list[subprocess.Popen[bytes]], patience: float | None) -> list[int]:
    """The exit codes; where a host is still there after `patience` seconds, every process shows its stack."""
    deadline = time.monotonic() + patience if patience else None
    try:
        return [host.wait(deadline and max(0.0, deadline - time.monotonic())) for host in hosts]
    except subprocess.TimeoutExpired:
        end_all(signal.SIGABRT)
        return [host.wait() for host in hosts]


def end_all(number: int) -> None:
    """Send a signal to whatever still runs on the hosts: torchrun's processes have sessions of their own."""
    for host in HOSTS:
        found = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True, check=False)
        for process in map(int, found.stdout.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def connect() -> None:
    """Two namespaces, each with one end of a cable."""
    disconnect()
    for host in HOSTS:
        run("ip", "netns", "add", host)
    run("ip", "link", "add", LINKS[0], "type", "veth", "peer", "name", LINKS[1])
    for host, link, address in zip(HOSTS, LINKS, ADDRESSES, strict=True):
        run("ip", "link", "set", link, "netns", host)
        run("ip", "-n", host, "addr", "add", f"{address}/24", "dev", link)
        run("ip", "-n", host, "link", "set", link, "up")
        run("ip", "-n", host, "link", "set", "lo", "up")


def disconnect() -> None:
    """End what runs on the hosts and take the namespaces away; with them goes the cable."""
    end_all(signal.SIGKILL)
    for host in HOSTS:
        subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True)


def losses(folder: Path) -> list[float]:
    """The training loss of each epoch."""
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    typer.run(main)
