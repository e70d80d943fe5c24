"""`python -m asr_seq2seq` is the command line."""

from asr_seq2seq.cli import main

main()
