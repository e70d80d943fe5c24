import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

_SC_STATS = Path("/usr/lib/sctk/bin/sc_stats")  # Debian gives it no wrapper of its own


@pytest.fixture(scope="session")
def sclite_command() -> list[str]:
    """How NIST's sclite is called here."""
    if direct := shutil.which("sclite"):
        return [direct]
    if wrapper := shutil.which("sctk"):
        return [wrapper, "sclite"]
    pytest.skip("sclite is not installed (Debian: sctk)")


@pytest.fixture
def sclite(sclite_command: list[str], tmp_path: Path) -> Callable[..., list[tuple[int, ...]]]:
    """NIST sclite's (hits, substitutions, deletions, insertions) of each pair of reference and hypothesis."""

    def counts(pairs: list[tuple[str, str]]) -> list[tuple[int, ...]]:
        write_trn(tmp_path / "reference", [reference for reference, _ in pairs])
        write_trn(tmp_path / "hypothesis", [hypothesis for _, hypothesis in pairs])
        command = [*sclite_command, "-r", "reference", "trn", "-h", "hypothesis", "trn", "-i", "rm", "-s"]
        report = subprocess.run(
            [*command, "-e", "utf-8", "-o", "pralign", "stdout"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.findall(
            r"^id: \(s_(\d+)\)\n.*\n?Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", report, re.M
        )
        assert len(found) == len(pairs)
        return [tuple(map(int, counts)) for _, *counts in sorted(found)]

    return counts


@pytest.fixture
def sc_stats(sclite_command: list[str], tmp_path: Path) -> Callable[..., dict[str, float]]:
    """What NIST's sc_stats says of two systems in its matched-pairs test."""
    if not _SC_STATS.exists():
        pytest.skip(f"sc_stats is not at {_SC_STATS} (Debian: sctk)")

    def compare(references: list[str], first: list[str], second: list[str]) -> dict[str, float]:
        for name, texts in (("reference", references), ("first", first), ("second", second)):
            write_trn(tmp_path / name, texts)
        systems = ["-h", "first", "trn", "one", "-h", "second", "trn", "two"]
        options = ["-i", "rm", "-s", "-e", "utf-8", "-o", "sgml", "stdout"]
        aligned = subprocess.run(
            [*sclite_command, "-r", "reference", "trn", *systems, *options],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        ).stdout
        command = [_SC_STATS, "-p", "-t", "mapsswe", "-v", "-n", "out"]
        subprocess.run(command, input=aligned, cwd=tmp_path, check=True, capture_output=True)
        report = (tmp_path / "out.stats.mapsswe").read_text()
        found = re.search(
            r"# segs: (\d+)\).*mean: (\S+)\) \(std dev: (\S+)\) \(Z Stat: (\S+)\) \(Stat Diff: (\w+)", report
        )
        errors = re.search(r"^Totals +\d+ +(\d+) +(\d+)", report, re.M)
        assert found and errors
        return {
            "segments": int(found[1]),
            "mean": float(found[2]),
            "deviation": float(found[3]),
            "z": float(found[4]),
            "differ": found[5] == "Yes",
            "errors": (int(errors[1]), int(errors[2])),
        }

    return compare


def write_trn(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f"{text} (s_{i:05d})\n" for i, text in enumerate(texts)), encoding="utf-8")
