import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each thing that is measured once, and wait for no quiet machine."""
    import benchmarking

    monkeypatch.setattr(benchmarking, "LONG_ENOUGH", 1e-6)
    monkeypatch.setattr(benchmarking, "PATIENCE", 0.0)
