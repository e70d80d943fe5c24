"""What a benchmark says of its machine, and machines side by side."""

import json
from dataclasses import asdict
from pathlib import Path

from benchmarking import Measured
from machine import Machine, append_run, side_by_side, this_machine

CPUINFO = """processor\t: 0
model name\t: Some Processor 7
flags\t\t: fpu sse avx2 avx512f amx_bf16 amx_tile

processor\t: 1
model name\t: Some Processor 7
flags\t\t: fpu
"""


def test_the_first_processor_is_described(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    machine = this_machine(tmp_path / "cpuinfo")
    assert machine.processor == "Some Processor 7"
    assert machine.instructions == ("AVX2", "AVX-512", "AMX bfloat16")
    assert str(machine).startswith("Some Processor 7 (AVX2, AVX-512, AMX bfloat16), ")
    assert this_machine(tmp_path / "none").instructions == ()


def test_runs_of_two_machines_stand_side_by_side(tmp_path: Path) -> None:
    runs = tmp_path / "runs.jsonl"
    fast = Measured("step", {"dot": [1.0]}, {"SpeechBrain": [3.0]}, [True])
    busy = Measured("search", {"dot": [1.0]}, {"SpeechBrain": [9.0]}, [False])
    append_run(runs, {"results": {"train": [asdict(fast)], "search": [asdict(busy)]}}, ("torch",))
    first = json.loads(runs.read_text())
    assert set(first["versions"]) == {"asr_seq2seq", "torch"}
    other = first | {"machine": asdict(Machine("Other", (), 2, "Linux"))}
    lines = list(side_by_side([first, other, other]))
    assert lines[0].endswith("| Other:  |")
    assert lines[2:] == ["| train | step | dot | SpeechBrain | 3.00 | 3.00, 3.00 |"]
