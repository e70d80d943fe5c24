import multiprocessing
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
        in_child: bool = False,
    ) -> mutate.Outcome:
        """``in_child``: of this process, which a crash of a C library would end."""
        if in_child:
            outcome = _in_child(lambda read: mutate.campaign(name, seeds, read, mutators, count), read)
        else:
            outcome = mutate.campaign(name, seeds, read, mutators, count)
        _rows.append(outcome.row())
        return outcome

    yield run


def _in_child(
    run: Callable[[Callable[[bytes], object]], mutate.Outcome], read: Callable[[bytes], object]
) -> mutate.Outcome:
    """What ``run`` gives for ``read`` in a fork of this process; AssertionError where that dies."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    number = context.Value("q", -1)

    def counted(content: bytes) -> None:
        number.value += 1
        read(content)

    def work() -> None:
        try:
            sender.send(run(counted))
        except AssertionError as error:
            sender.send(str(error))

    child = context.Process(target=work)
    child.start()
    sender.close()
    try:
        outcome = receiver.recv()
    except EOFError:
        outcome = None
    child.join()
    assert outcome is not None, f"the process died at mutation {number.value}: exit code {child.exitcode}"
    assert not isinstance(outcome, str), outcome
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _rows:
        terminalreporter.section("mutations")
        terminalreporter.line(
            "| form | mutations | read | refused | failures | longest message | slowest, s | most MB |"
        )
        for row in _rows:
            terminalreporter.line(row)
