"""lhotse's CutSet (`.jsonl.gz`), one cut a line, and Shar folders, read as plain data without lhotse.

lhotse itself runs the command, fetches the address or unpickles the array that a recording, an array of
features, or a recording inside of either may be. Here only the fields below are read, sound lies in
files, and whatever else would be read is refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from asr_seq2seq.audio import RATES
from asr_seq2seq.corpora.fields import SYNONYMS, Channel, Label, Name, Seconds, Text, checked
from asr_seq2seq.corpora.lines import LONGEST_SECONDS, MOST_CHANNELS, read_lines
from asr_seq2seq.corpora.places import find_file, refuse_address
from asr_seq2seq.corpora.sources import ArchiveMember, problem_of_file
from asr_seq2seq.corpora.utterance import Change, Features, Utterance
from asr_seq2seq.errors import CorpusError, shown
from asr_seq2seq.faults import AnyText
from asr_seq2seq.files import parse_json

_READ = "numpy_files"
_OTHER_STORAGE = ("lilcom_files", "lilcom_chunky", "numpy_hdf5", "lilcom_hdf5", "chunked_lilcom_hdf5")
_PLACES = "paths are relative to the CutSet or to the current folder"
_LARGEST_DESCRIPTION = 10_000_000  # bytes
_OTHER_CUTS = ("MultiCut", "MixedCut", "PaddingCut")
_FEATURES = "feature_filepath"  # among the custom keys of a cut

_Channels = Annotated[list[Channel], Field(min_length=1, max_length=MOST_CHANNELS)]
_Rate = Annotated[int, Field(ge=RATES.start, lt=RATES.stop)]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


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


class _Recording(_Form):
    id: Name
    sources: Annotated[list[_Source], Field(min_length=1, max_length=MOST_CHANNELS)]
    sampling_rate: _Rate
    transforms: Annotated[list[dict[str, Any]], Field(max_length=20)] | None = None


class _Supervision(_Form):
    text: Text | None = None
    language: Label | None = None
    speaker: Name | None = None
    gender: Label | None = None
    custom: dict[str, Any] | None = None


class _Features(_Form):
    frame_shift: float = Field(gt=0, lt=1e3)
    start: Seconds
    storage_type: Label
    storage_path: AnyText
    storage_key: Any


class _Cut(_Form):
    type: Literal["MonoCut"] = "MonoCut"
    id: Name
    start: Seconds
    duration: Annotated[float, Field(ge=1e-9, lt=LONGEST_SECONDS)]
    channel: Channel
    supervisions: Annotated[list[_Supervision], Field(max_length=10_000)]
    recording: _Recording | None = None
    features: _Features | None = None
    custom: dict[str, Any] | None = None


_TRANSFORMS: dict[str, type[_Form]] = {
    "Speed": _Speed,
    "Volume": _Volume,
    "Resample": _Resample,
    "ReverbWithImpulseResponse": _Reverb,
}


def is_cutset(path: Path) -> bool:
    """Whether JSON lines are cuts, by the first; a packed file is taken for some unless it names a sound."""
    _, line = next(read_lines(path), ("", ""))
    named = any(f'"{key}":' in line for key in (*SYNONYMS["audio_filepath"], _FEATURES))
    return '"supervisions":' in line or (path.suffix == ".gz" and not named)


def read_cutset(path: Path) -> Iterator[Utterance]:
    """The cuts of a CutSet; CorpusError names the line of the first that is not one plain utterance."""
    for where, line in read_lines(path):
        cut = _parsed_cut(_parsed(line, where), where)
        yield _utterance(cut, where, path.parent)


def is_shar(folder: Path) -> bool:
    """Whether a folder holds the shards that lhotse's `CutSet.to_shar` writes."""
    return any(folder.glob("cuts.*.jsonl*"))


def read_shar(folder: Path) -> Iterator[Utterance]:
    """The cuts of a Shar folder, shards of cuts each with an archive of their sound beside it.

    The sound stays in its archives until an utterance is read. Shards that were written without sound name
    the files that hold it.
    """
    for shard in sorted(folder.glob("cuts.*.jsonl*")):
        cuts = [(where, _parsed_cut(_parsed(line, where), where)) for where, line in read_lines(shard)]
        if not (cuts and all(_in_archive(cut) for _, cut in cuts)):
            yield from (_utterance(cut, where, folder) for where, cut in cuts)
            continue
        archive = folder / f"recording.{shard.name.split('.')[1]}.tar"
        if not archive.is_file():
            raise CorpusError(f"{shard}: its sound should be in {archive.name}, which is not there; copy it")
        members = list(_members(archive))
        if [cut.id for _, cut in cuts] != [identity for identity, _, _ in members]:
            raise CorpusError(f"{archive}: holds other utterances than {shard.name}; make the folder anew")
        for (where, cut), (_, recording, sound) in zip(cuts, members, strict=True):
            yield _utterance(cut, where, folder, recording, sound)


def from_cut(value: Any, where: str) -> Utterance:
    """The utterance that the `to_dict` of a cut of lhotse describes, its sound in files."""
    return _utterance(_parsed_cut(value, where), where, Path())


_Checked = TypeVar("_Checked", bound=_Form)


def _check(form: type[_Checked], value: Any, where: str) -> _Checked:
    return checked(form, value, f"{where}: cannot be read as a lhotse CutSet", "make it anew")


def _parsed(text: str | bytes, where: str) -> Any:
    try:
        return parse_json(text, nan_is_null=True)
    except ValueError as error:
        raise CorpusError(f"{where}: cannot be read as a lhotse CutSet ({error}); make it anew") from None


def _parsed_cut(value: Any, where: str) -> _Cut:
    """The cut, which has a recording and one supervision with text."""
    if isinstance(value, dict) and value.get("type") in _OTHER_CUTS:
        raise CorpusError(
            f"{where}: the cut {shown(value.get('id'))} is mixed, padded or of several channels; "
            "save plain cuts"
        )
    cut = _check(_Cut, value, where)
    if cut.recording is None:
        raise CorpusError(
            f"{where}: the cut {shown(cut.id)} has no recording, and features alone cannot be used"
        )
    if len(cut.supervisions) != 1 or cut.supervisions[0].text is None:
        raise CorpusError(
            f"{where}: the cut {shown(cut.id)} must hold exactly one supervision with text; "
            "`cuts.trim_to_supervisions()` makes it so"
        )
    return cut


def _in_archive(cut: _Cut) -> bool:
    return cut.recording is not None and all(source.type == "shar" for source in cut.recording.sources)


def _members(archive: Path) -> Iterator[tuple[str, _Recording, ArchiveMember]]:
    """The cut's id, the recording and the place of each pair of a sound and its description."""
    size = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as tar:
            members = tar.getmembers()
            if len(members) % 2:
                raise CorpusError(f"{archive}: is damaged (a sound is not described); copy or make it again")
            for sound, about in zip(members[::2], members[1::2], strict=True):
                where = f"{archive}, {shown(about.name)}"
                for member in (sound, about):
                    whole = (
                        member.isreg() and not member.issparse() and member.offset_data + member.size <= size
                    )
                    if not whole or (member is about and member.size > _LARGEST_DESCRIPTION):
                        raise CorpusError(f"{where}: is damaged, or no plain file; copy or make it again")
                file = tar.extractfile(about)
                described = _parsed(file.read() if file else b"", where)
                place = ArchiveMember(str(archive), sound.offset_data, sound.size)
                yield sound.name.rpartition(".")[0], _check(_Recording, described, where), place
    except (tarfile.TarError, OSError, ValueError) as error:  # ValueError: numbers in a header that are none
        raise CorpusError(f"{archive}: is damaged ({shown(str(error))}); copy or make it again") from None


def _utterance(
    cut: _Cut,
    where: str,
    folder: Path,
    recording: _Recording | None = None,
    member: ArchiveMember | None = None,
) -> Utterance:
    """What a cut says, its sound where its recording says, or in `member` as another recording says."""
    recording = recording or cut.recording
    assert recording is not None
    [supervision] = cut.supervisions
    sounds = [member or _file(source, recording.id, where, folder) for source in recording.sources]
    if member is not None and len(sounds) != 1:
        raise CorpusError(f"{where}: has {len(sounds)} sources and not one; make it anew")
    channels = [source.channels for source in recording.sources]
    place = next((place for place, known in enumerate(channels) if cut.channel in known), None)
    if place is None:
        raise CorpusError(
            f"{where}: the recording of the cut {shown(cut.id)} has no channel {cut.channel}; correct the cut"
        )
    custom = _plain(supervision.custom) | _plain(cut.custom)
    own_features = custom.pop(_FEATURES, None)
    return Utterance(
        id=cut.id,
        text=supervision.text or "",
        sound=sounds[place],
        duration=cut.duration,
        start=cut.start,
        channel=_position(cut.channel, channels[place]),
        speaker=supervision.speaker,
        language=supervision.language,
        gender=supervision.gender,
        features=_features(cut, where, folder)
        if own_features is None
        else Features(find_file(where, str(own_features), folder, ".", advice=_PLACES)),
        changes=tuple(_change(transform, where, folder) for transform in recording.transforms or ()),
        rate=recording.sampling_rate,
        custom=custom,
        problem=problem_of_file(sounds[place]),
    )


def _file(source: _Source, name: str, where: str, folder: Path) -> str:
    """The path of a source that is a file; CorpusError for every other."""
    if source.type != "file":
        raise CorpusError(
            f"{where}: the sound of {shown(name)} is of the type {shown(source.type)}, and only files are "
            "read: no command is run and nothing is fetched; save its sound in files"
        )
    if not isinstance(source.source, str):
        raise CorpusError(f"{where}: the sound of {shown(name)} must be named by text; make it anew")
    return find_file(where, source.source, folder, ".", advice=_PLACES)


def _change(transform: dict[str, Any], where: str, folder: Path) -> Change:
    """A change to the sound, of a room with the file of its impulse response."""
    name = transform.get("name")
    known = _TRANSFORMS.get(name) if isinstance(name, str) else None
    if known is None or not isinstance(name, str):
        raise CorpusError(
            f"{where}: its sound is changed by {shown(name)}, and only {', '.join(_TRANSFORMS)} "
            "are known; save the changed sound with `cuts.save_audios()`"
        )
    form = _check(known, transform.get("kwargs"), where)
    match form:
        case _Speed() | _Volume():
            return Change(name, factor=form.factor)
        case _Resample():
            return Change(name, rate=form.source_sampling_rate, new_rate=form.target_sampling_rate)
        case _Reverb():
            [channel], rir = form.rir_channels, form.rir
            files = [_file(source, rir.id, where, folder) for source in rir.sources]
            if rir.transforms or channel not in rir.sources[0].channels:
                raise CorpusError(
                    f"{where}: the impulse response {shown(rir.id)} must be a plain file; save it so"
                )
            return Change(name, response=files[0], channel=_position(channel, rir.sources[0].channels))
    raise AssertionError(name)


def _position(channel: int, channels: list[int]) -> int | None:
    """Which channel of its file one of a recording is; None where the file has but one."""
    return channels.index(channel) if len(channels) > 1 else None


def _features(cut: _Cut, where: str, folder: Path) -> Features | None:
    """The rows of an array that are the cut's, where it is in `numpy_files`; of others only the storage type.

    A cut with such features can still be used for its sound.
    """
    form = cut.features
    if form is None:
        return None
    if form.storage_type not in (_READ, *_OTHER_STORAGE):
        raise CorpusError(
            f"{where}: its features are stored as {shown(form.storage_type)}, and only files are read; "
            f"store them as {_READ}"
        )
    refuse_address(where, form.storage_path)
    if form.storage_type != _READ:
        return Features(None, storage=form.storage_type)
    if not isinstance(form.storage_key, str):
        raise CorpusError(f"{where}: the storage_key of its features must name a file; make it anew")
    name = f"{form.storage_path}/{form.storage_key.lstrip('/')}"
    return Features(
        find_file(where, name, folder, ".", advice=_PLACES),
        first=max(0, round((cut.start - form.start) / form.frame_shift)),
        count=max(1, round(cut.duration / form.frame_shift)),
    )


def _plain(custom: dict[str, Any] | None) -> dict[str, Any]:
    """The keys of a user whose values are text or numbers; arrays and recordings there are of no use here."""
    return {key: value for key, value in (custom or {}).items() if isinstance(value, str | int | float)}
