"""The command line: one verb, one function call, one result.

Results go to stdout, messages and progress to stderr. Exit code 0 is success, 1 that some of several
files failed or the reader of standard output has gone, 2 a mistake of the user, 70 a bug or an
installation that does not work, 130 an interruption by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""


def main() -> None:
    """Run the command line `asr-seq2seq`, which owns this process: its signals and its streams."""
    import gc
    import os
    import sys

    # The 70,000 objects that imports make stay: looking through them takes 5 % of a short command's time.
    gc.set_threshold(100_000)
    # pydantic would look through all packages that are installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from asr_seq2seq import signals  # first, and small: Ctrl-C may come while the rest is imported

        signals.end_at_once()
    except KeyboardInterrupt:
        sys.exit(130)

    from asr_seq2seq.cli.application import make_app, needed_verbs
    from asr_seq2seq.cli.run import run_process

    run_process(make_app(needed_verbs(sys.argv[1:])))
