from collections.abc import Callable, Iterator, Sequence

import mutate
import pytest

_rows: list[str] = []


@pytest.fixture(params=[pytest.param(100, id="quick"), pytest.param(2000, id="many", marks=pytest.mark.slow)])
def campaign(request: pytest.FixtureRequest) -> Iterator[Callable[..., mutate.Outcome]]:
    """`mutate.campaign` with its count: 100, and with -m slow 2,000 or what --count says."""
    count = request.param
    if count > 100:
        count = request.config.getoption("--count") or count

    def run(
        name: str,
        seeds: Sequence[bytes],
        read: Callable[[bytes], object],
        mutators: Sequence[mutate.Mutator],
    ) -> mutate.Outcome:
        outcome = mutate.campaign(name, seeds, read, mutators, count)
        _rows.append(outcome.row())
        return outcome

    yield run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _rows:
        terminalreporter.section("mutations")
        terminalreporter.line(
            "| form | mutations | read | refused | failures | longest message | slowest, s | most MB |"
        )
        for row in _rows:
            terminalreporter.line(row)
