"""What a user did wrong, in one sentence: what, where, and the way out.

Every error that a user can cause is an :class:`AsrError`; the command line prints it as one line
and exits with a non-zero code. Anything else that is raised is a bug of ours.
"""


class AsrError(Exception):
    """Base of every error whose cause is the input, not the program."""


class AudioError(AsrError):
    """A sound that cannot be read or used."""


class SilentAudioError(AudioError):
    """A sound whose samples are all zero."""


class CorpusError(AsrError):
    """A corpus or a manifest that cannot be read or used."""


class ConfigError(AsrError):
    """A setting that is unknown, mistyped or does not fit the others."""


class ModelFileError(AsrError):
    """A model file that is damaged, from another program, or from a newer version."""


class OutputError(AsrError):
    """A result that cannot be written: no space, no permission, no such folder."""
