"""The figures of a run for TensorBoard, written here and now.

TensorBoard's own writer works in a thread, where a full disk would end in a trace of calls.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from asr_seq2seq.files import make_folder, output_error


class Board:
    """Scalars over steps in a new file of `folder`; what earlier files have from `first_step` on is void."""

    def __init__(self, folder: Path, first_step: int) -> None:
        make_folder(folder)
        self.path = folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.0"
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=first_step, session_log=start))

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Write the figures of a step; OutputError where the disk is full."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        for value in values:
            self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))

    def add_text(self, name: str, text: str, step: int) -> None:
        """Write a text (Markdown) of a step; OutputError where the disk is full."""
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(
            dtype=DT_STRING, string_val=[text.encode("utf-8", "replace")], tensor_shape=shape
        )
        of_texts = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = Summary.Value(tag=name, tensor=tensor, metadata=of_texts)
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        try:
            with self.path.open("ab") as file:
                RecordWriter(file).write(event.SerializeToString())
        except OSError as error:
            raise output_error(self.path, error) from error
