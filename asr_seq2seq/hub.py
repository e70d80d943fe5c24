"""Models on the Hugging Face Hub: `hf:OWNER/NAME` in place of a model file, and a model put there.

What is fetched is the one file that the name says, and it is read as any other model file. The address of
the Hub, the token and the cache folder are those of huggingface_hub: HF_ENDPOINT, HF_TOKEN, HF_HOME.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_seq2seq.errors import ModelFileError, brief
from asr_seq2seq.extras import needed
from asr_seq2seq.signals import while_importing

PREFIX = "hf:"
MODEL_FILE = "model.safetensors"
MOST_BYTES = 4 * 2**30  # of a model file
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"hf:({_PART}/{_PART})(?:/({_PART}\.safetensors))?(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")


@dataclass(frozen=True)
class HubName:
    """A file in a repository of the Hub; of its main branch where `revision` is None."""

    repository: str
    file: str = MODEL_FILE
    revision: str | None = None

    @classmethod
    def parse(cls, name: str) -> HubName:
        """The parts of hf:OWNER/NAME[/FILE.safetensors][@REVISION]; ModelFileError for another form."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise ModelFileError(
                f"{brief(name)}: names no model on the Hub; write hf:OWNER/NAME, or "
                "hf:OWNER/NAME/FILE.safetensors, and @REVISION behind it where it is not the main branch"
            )
        return cls(found[1], found[2] or MODEL_FILE, found[3])


def download(name: str) -> Path:
    """The model file that `name` says, in the cache of huggingface_hub, fetched where it is not there yet.

    ModelFileError where there is none, or the Hub cannot be reached and the cache has none.
    """
    wanted = HubName.parse(name)
    with while_importing(), needed(f"the model {name}", "hub"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    if not sys.stderr.isatty():
        disable_progress_bars()
    with _told(name):
        about = hf_hub_download(wanted.repository, wanted.file, revision=wanted.revision, dry_run=True)
        if (size := about.file_size or 0) > MOST_BYTES:
            raise ModelFileError(
                f"{name}: the file has {size / 1e9:.1f} GB, more than the "
                f"{MOST_BYTES / 1e9:.1f} that a model may have"
            )
        return Path(hf_hub_download(wanted.repository, wanted.file, revision=wanted.revision))


def upload(files: Mapping[str, bytes], repository: str, *, private: bool, message: str) -> str:
    """Commit files, by their names there, to a repository of the Hub, made where there is none: its address.

    ModelFileError where the Hub refuses, or cannot be reached.
    """
    HubName.parse(f"{PREFIX}{repository}")
    with while_importing(), needed("push-to-hub", "hub"):
        from huggingface_hub import CommitOperationAdd, HfApi
    with _told(f"{PREFIX}{repository}"):
        api = HfApi(library_name="asr_seq2seq")
        made = api.create_repo(repository, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        api.create_commit(made.repo_id, operations, commit_message=message)
        return str(made)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What the Hub or the network refuses becomes a ModelFileError of one sentence."""
    from huggingface_hub import errors

    ways: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
        (
            errors.GatedRepoError,
            "asks for access that you have not been given; ask its owner, then set HF_TOKEN",
        ),
        (errors.RepositoryNotFoundError, "is not there, or is private; check the name, and set HF_TOKEN"),
        (errors.RevisionNotFoundError, "has no such revision; check what stands behind @"),
        (
            errors.LocalEntryNotFoundError,
            "is not in the cache, and the Hub cannot be reached; try again online",
        ),
        (errors.EntryNotFoundError, "has no such file; name it as hf:OWNER/NAME/FILE.safetensors"),
        (errors.HFValidationError, "is no name that the Hub takes; write OWNER/NAME"),
    )
    # What its client of HTTP raises, of one library or another by the release.
    network: type[BaseException] = errors.HfHubHTTPError.__mro__[1]
    try:
        yield
    except (network, errors.EntryNotFoundError, errors.HFValidationError, OSError) as error:
        for kind, told in ways:
            if isinstance(error, kind):
                raise ModelFileError(f"{name}: {told}") from None
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise ModelFileError(
                f"{name}: the Hub does not let you; set HF_TOKEN to a token that may"
            ) from None
        what = brief(str(error).strip().partition("\n")[0] or type(error).__name__, 110)
        raise ModelFileError(f"{name}: the Hub cannot be used ({what}); try again later") from None


def card(repository: str, facts: Mapping[str, Any], license_: str | None, language: str | None) -> str:
    """A README: the metadata that the Hub reads, how to use the model, and what `inspect` tells of it."""
    import yaml

    metadata: dict[str, Any] = {
        "library_name": "asr_seq2seq",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["automatic-speech-recognition", "sequence-to-sequence", "lstm"],
    }
    metadata |= {"license": license_} if license_ else {}
    metadata |= {"language": language} if language else {}
    told = {name: facts[name] for name in ("parameters", "bytes", "model", "features", "provenance")}
    return (
        f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n\n# {repository.partition('/')[2]}\n\n"
        "A sequence-to-sequence speech recognizer: a pyramidal LSTM encoder and an LSTM decoder that writes "
        "characters.\n\n"
        "```bash\npip install 'asr_seq2seq[hub]'\n"
        f"asr-seq2seq transcribe --model hf:{repository} sound.flac\n```\n\n"
        f"Symbols: `{facts['alphabet']}`\n\n"
        f"```yaml\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}```\n"
    )
