"""The command line: one verb, one function call, one result."""


def main() -> None:
    """Run the command line `asr-seq2seq`."""
    from asr_seq2seq.cli.application import run

    run()
