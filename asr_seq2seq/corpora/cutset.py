"""lhotse's CutSet (`.jsonl.gz`): one cut a line, checked before lhotse makes anything of it.

lhotse itself runs the command, fetches the address or unpickles the array that a recording, an array of
features, or a recording inside of either may be. Here a cut is plain data: of what it can hold, only the
fields below are read, sound lies in files, and whatever else would be read is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from lhotse import Features, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asr_seq2seq.audio import RATES
from asr_seq2seq.corpora.fields import (
    Channel,
    Duration,
    FileName,
    Label,
    Name,
    Seconds,
    Text,
    first_fault,
)
from asr_seq2seq.corpora.lines import LONGEST_SECONDS, MOST_CHANNELS, read_lines, shown
from asr_seq2seq.corpora.manifest import FEATURES
from asr_seq2seq.corpora.places import find_file, refuse_address
from asr_seq2seq.corpora.utterance import problem_of_file, with_problem
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.files import parse_json

_READ, _KNOWN = (
    "numpy_files",
    ("lilcom_files", "lilcom_chunky", "numpy_hdf5", "lilcom_hdf5", "chunked_lilcom_hdf5"),
)
_REVERB = "ReverbWithImpulseResponse"
_ADVICE = "paths are relative to the CutSet or to the current folder"


_Channels = Annotated[list[Channel], Field(min_length=1, max_length=MOST_CHANNELS)]
_Rate = Annotated[int, Field(ge=RATES.start, lt=RATES.stop)]
_Count = Annotated[int, Field(ge=0, lt=2**48)]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


_Checked = TypeVar("_Checked", bound=_Form)


class _Source(_Form):
    type: Label
    channels: _Channels
    source: Any = ""


class _Speed(_Form):
    factor: float = Field(ge=0.1, le=10)


class _Volume(_Form):
    factor: float = Field(ge=-1e3, le=1e3)


class _Resample(_Form):
    source_sampling_rate: _Rate
    target_sampling_rate: _Rate


class _Reverb(_Form):
    rir: _Recording
    normalize_output: Literal[True] = True
    early_only: Literal[False] = False
    rir_channels: Annotated[list[Channel], Field(min_length=1, max_length=1)] = [0]
    rir_generator: None = None


_TRANSFORMS: dict[str, type[_Form]] = {
    "Speed": _Speed,
    "Volume": _Volume,
    "Resample": _Resample,
    _REVERB: _Reverb,
}


class _Recording(_Form):
    id: Name
    sources: Annotated[list[_Source], Field(min_length=1, max_length=MOST_CHANNELS)]
    sampling_rate: _Rate
    num_samples: _Count
    duration: Seconds
    transforms: Annotated[list[dict[str, Any]], Field(max_length=20)] | None = None


class _Supervision(_Form):
    id: Name
    recording_id: Name
    start: float = Field(gt=-LONGEST_SECONDS, lt=LONGEST_SECONDS)
    duration: Seconds
    channel: Channel | _Channels = 0
    text: Text | None = None
    language: Label | None = None
    speaker: Name | None = None
    gender: Label | None = None
    custom: dict[str, Any] | None = None


class _Features(_Form):
    type: Label
    num_frames: _Count
    num_features: _Count
    frame_shift: float = Field(gt=0, lt=1e3)
    sampling_rate: _Rate
    start: Seconds
    duration: Seconds
    storage_type: Label
    storage_path: FileName
    storage_key: Any
    recording_id: Name | None = None
    channels: Channel | _Channels | None = None


class _Cut(_Form):
    type: Literal["MonoCut"] = "MonoCut"
    id: Name
    start: Seconds
    duration: Duration
    channel: Channel
    supervisions: Annotated[list[_Supervision], Field(max_length=10_000)]
    recording: _Recording | None = None
    features: _Features | None = None
    custom: dict[str, Any] | None = None


_KINDS = ("MultiCut", "MixedCut", "PaddingCut")


def read_cutset(path: Path) -> Iterator[MonoCut]:
    """The cuts of a CutSet; CorpusError names the line of the first that is not one plain utterance."""
    for where, line in read_lines(path):
        yield plain_cut(parsed(line, where), where, path.parent)


def parsed(text: str | bytes, where: str) -> Any:
    """The value of a JSON text of lhotse's."""
    try:
        return parse_json(text, nan_is_null=True)
    except ValueError as error:
        raise CorpusError(f"{where}: cannot be read as a lhotse CutSet ({error}); make it anew") from None


def plain_cut(value: Any, where: str, folder: Path, *, in_shar: bool = False) -> MonoCut:
    """The cut that `MonoCut.to_dict` describes; CorpusError where it is not one plain utterance.

    Paths are relative to `folder` or to the current one. With `in_shar` its recording, which the archive
    beside it holds, is left out.
    """
    if isinstance(value, dict) and value.get("type") in _KINDS:
        raise CorpusError(
            f"{where}: the cut {shown(value.get('id'))} is mixed, padded or of several channels; "
            "save plain cuts"
        )
    cut = _checked(_Cut, value, where)
    name = shown(cut.id)
    if cut.recording is None:
        raise CorpusError(f"{where}: the cut {name} has no recording, and features alone cannot be used")
    if len(cut.supervisions) != 1 or cut.supervisions[0].text is None:
        raise CorpusError(
            f"{where}: the cut {name} must hold exactly one supervision with text; "
            "`cuts.trim_to_supervisions()` makes it so"
        )
    [said] = cut.supervisions
    placeholder = in_shar and all(source.type == "shar" for source in cut.recording.sources)
    recording = None if placeholder else _recording(cut.recording, where, folder)
    if recording is not None and cut.channel not in recording.channel_ids:
        raise CorpusError(
            f"{where}: the recording of the cut {name} has no channel {cut.channel}; mend the cut"
        )
    plain = MonoCut(
        id=cut.id,
        start=cut.start,
        duration=cut.duration,
        channel=cut.channel,
        recording=recording,
        features=None if cut.features is None else _features(cut.features, where, folder),
        supervisions=[
            SupervisionSegment(
                **said.model_dump(exclude={"custom"}),
                custom=_scalars(said.custom, where, folder),
            )
        ],
        custom=_scalars(cut.custom, where, folder),
    )
    if recording is not None:
        for source in recording.sources:
            if problem := problem_of_file(source):
                return with_problem(plain, problem)
    return plain


def read_recording(value: Any, where: str, sources: list[AudioSource]) -> Recording:
    """What `Recording.to_dict` describes, with other sources of as many channels as its own has."""
    form = _checked(_Recording, value, where)
    if len(form.sources) != len(sources):
        raise CorpusError(f"{where}: has {len(form.sources)} sources and not {len(sources)}; make it anew")
    for source, described in zip(sources, form.sources, strict=True):
        source.channels = described.channels
    return _built(form, sources, where, Path(where).parent)


def _checked(form: type[_Checked], value: Any, where: str) -> _Checked:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        raise CorpusError(f"{where}: cannot be read as a lhotse CutSet ({first_fault(error)})") from None


def _recording(form: _Recording, where: str, folder: Path) -> Recording:
    sources = []
    for source in form.sources:
        if source.type != "file":
            raise CorpusError(
                f"{where}: the sound of {shown(form.id)} is of the type {shown(source.type)}, and only "
                "files are read: no command is run and nothing is fetched; save its sound in files"
            )
        if not isinstance(source.source, str):
            raise CorpusError(f"{where}: the sound of {shown(form.id)} must be named by text; make it anew")
        path = find_file(where, source.source, folder, Path(), advice=_ADVICE)
        sources.append(AudioSource(type="file", channels=source.channels, source=path))
    return _built(form, sources, where, folder)


def _built(form: _Recording, sources: list[AudioSource], where: str, folder: Path) -> Recording:
    transforms = [_transform(transform, where, folder) for transform in form.transforms or ()]
    return Recording(
        id=form.id,
        sources=sources,
        sampling_rate=form.sampling_rate,
        num_samples=form.num_samples,
        duration=form.duration,
        channel_ids=sorted(channel for source in sources for channel in source.channels),
        transforms=transforms or None,
    )


def _transform(transform: dict[str, Any], where: str, folder: Path) -> dict[str, Any]:
    """The checked description of a change to the sound, of a room with its impulse response."""
    name = transform.get("name")
    known = _TRANSFORMS.get(name) if isinstance(name, str) else None
    if known is None:
        raise CorpusError(
            f"{where}: its sound is changed by {shown(name)}, and only {', '.join(_TRANSFORMS)} "
            "are known; save the changed sound with `cuts.save_audios()`"
        )
    arguments = _checked(known, transform.get("kwargs"), where)
    if not isinstance(arguments, _Reverb):
        return {"name": name, "kwargs": arguments.model_dump()}
    response = arguments.rir
    if response.transforms or arguments.rir_channels[0] not in response.sources[0].channels:
        raise CorpusError(
            f"{where}: the impulse response {shown(response.id)} must be a plain file; save it so"
        )
    arguments_dict = {
        "rir": _recording(response, where, folder).to_dict(),
        "rir_channels": arguments.rir_channels,
    }
    return {"name": name, "kwargs": arguments_dict}


def _features(form: _Features, where: str, folder: Path) -> Features:
    """What can be read, `numpy_files`, with its place; of other files only that there are some.

    A cut with such features can still be used for its sound.
    """
    if form.storage_type not in (_READ, *_KNOWN):
        raise CorpusError(
            f"{where}: its features are stored as {shown(form.storage_type)}, and only files are read; "
            f"store them as {_READ}"
        )
    refuse_address(where, form.storage_path)
    fields = form.model_dump()
    if form.storage_type == _READ:
        if not isinstance(form.storage_key, str):
            raise CorpusError(f"{where}: the storage_key of its features must name a file; make it anew")
        key = form.storage_key.lstrip("/")
        path = find_file(where, f"{form.storage_path}/{key}", folder, Path(), advice=_ADVICE)
        fields |= {"storage_path": os.path.dirname(path), "storage_key": os.path.basename(path)}  # noqa: PTH119, PTH120
    return Features(**fields)


def _scalars(custom: dict[str, Any] | None, where: str, folder: Path) -> dict[str, Any] | None:
    """The keys of a user whose values are text or numbers; arrays and recordings there are of no use here."""
    kept = {key: value for key, value in (custom or {}).items() if isinstance(value, str | int | float)}
    if isinstance(path := kept.pop(FEATURES, None), str):
        kept[FEATURES] = find_file(where, path, folder, Path(), advice=_ADVICE)
    return kept or None
