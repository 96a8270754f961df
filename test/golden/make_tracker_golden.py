"""Bytes that the trackers' own code writes for the same things that test/tracking/golden.test.ts writes.

    python test/golden/make_tracker_golden.py > test/golden/trackers.json

Needs tensorboard 2.21, swanlab 0.10 and trackio 0.43.
"""

import hashlib
import io
import json
import tempfile
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from swanlab.proto.swanlab.metric.column.v1.column_pb2 import ColumnClass, ColumnRecord, ColumnType, SectionType
from swanlab.proto.swanlab.metric.data.v1.data_pb2 import MediaItem, MediaRecord, MediaValue, ScalarRecord, ScalarValue
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.proto.swanlab.run.v1.run_pb2 import FinishRecord, RunState, StartRecord
from swanlab.proto.swanlab.save.v1.save_pb2 import SaveRecord, SaveType
from swanlab.sdk.internal.core_python.store import DataStoreWriter
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from trackio.fragments import FragmentWriter, alert_record, metric_record

AT = 1700000000.25


def text_metadata(plugin, content=b""):
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content), data_class=2)


def tensorboard():
    cells = [b"    one", "    zwei \u2713".encode()]
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=len(cells))])
    texts = TensorProto(dtype=7, tensor_shape=shape, string_val=cells)
    empty = TensorProto(dtype=1, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    start = plugin_data_pb2.SessionStartInfo(group_name="tracked", start_time_secs=AT)
    start.hparams["a.rate"].number_value = 0.001
    start.hparams["b.name"].string_value = "countdown"
    start.hparams["c.on"].bool_value = True
    started = plugin_data_pb2.HParamsPluginData(session_start_info=start)
    ended = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=AT)
    )
    values = [
        [Summary.Value(tag="train/loss", simple_value=0.1), Summary.Value(tag="train/kl", simple_value=float("nan"))],
        [Summary.Value(tag="train/completions", tensor=texts, metadata=text_metadata("text"))],
        [
            Summary.Value(
                tag="_hparams_/session_start_info",
                tensor=empty,
                metadata=text_metadata("hparams", started.SerializeToString(deterministic=True)),
            ),
            Summary.Value(
                tag="_hparams_/session_end_info",
                tensor=empty,
                metadata=text_metadata("hparams", ended.SerializeToString()),
            ),
        ],
    ]
    events = [Event(wall_time=AT, file_version="brain.Event:2")]
    events += [Event(wall_time=AT, step=12345678901, summary=Summary(value=some)) for some in values]
    file = io.BytesIO()
    file.close_ = file.close
    file.close = lambda: None
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    return file.getvalue().hex()


def swanlab():
    at = Timestamp(seconds=1700000000, nanos=250_000_000)

    def record(num, **fields):
        return Record(num=num, timestamp=at, **fields)

    def item(text, caption):
        data = text.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        return MediaItem(
            filename=f"{7:03d}-{sha256[:8]}.txt", sha256=sha256, size=len(data), caption=caption, payload=data
        )

    def column(key, kind):
        return ColumnRecord(
            column_class=ColumnClass.COLUMN_CLASS_CUSTOM,
            column_type=kind,
            column_key=key,
            section_name=key.split("/")[0],
            section_type=SectionType.SECTION_TYPE_PUBLIC,
        )

    scalar, text = ColumnType.COLUMN_TYPE_SCALAR, ColumnType.COLUMN_TYPE_TEXT
    start = StartRecord(project="p", workspace="w", name="run", description="why?", id="abc", started_at=at)
    save = SaveRecord(name="config", source_path="/x/config.yaml", type=SaveType.SAVE_TYPE_CONFIG, payload=b"a: 1\n")
    point = {"key": "train/loss", "step": 7, "type": scalar, "timestamp": at}
    # One item spans three blocks; what follows it begins 3 bytes before the end of one, and so in the next.
    long = "x" * 70_000
    items = [item("one \u2713", "reward 1"), item(long, "")]
    media = MediaRecord(key="train/completions", step=7, type=text, timestamp=at, value=MediaValue(items=items))
    records = [
        record(-1, start=start),
        record(-1, save=save),
        record(1, column=column("train/loss", scalar)),
        record(2, scalar=ScalarRecord(**point, value=ScalarValue(number=0.1))),
        record(3, scalar=ScalarRecord(**point, value=ScalarValue(number=float("nan")))),
        record(4, column=column("train/completions", text)),
        record(5, media=media),
        record(6, finish=FinishRecord(state=RunState.RUN_STATE_CRASHED, error="lost", finished_at=at)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.swanlab"
        writer = DataStoreWriter()
        writer.open(path)
        for one in records:
            writer.write(one.SerializeToString())
        writer.close()
        whole = path.read_bytes()
        # The framing alone: records whose ends fall on every place near the end of a block.
        sizes = [32_768 - 7 - 7 - left - 7 for left in range(0, 16)] + [0, 1, 65_522, 65_523, 100_000]
        framing = {}
        for size in sizes:
            path.unlink()
            writer = DataStoreWriter()
            writer.open(path)
            writer.write(b"a" * size)
            writer.write(b"b" * 20)
            writer.close()
            framing[str(size)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "records": [one.SerializeToString().hex() for one in records[:6]],
        "file": {"sizeBytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()},
        "framing": framing,
    }


def trackio():
    names = {"project": "tracked", "run": "r", "run_id": "id"}
    metrics = {"train/loss": 0.1, "train/kl": float("nan"), "train/max": float("inf")}
    metric = metric_record({**names, "metrics": metrics, "step": 3, "timestamp": "t", "config": None, "log_id": "l"})
    alert = alert_record(
        {**names, "title": "alarms/a", "text": "why", "level": "warn", "step": 3, "timestamp": "t", "alert_id": "l"}
    )
    return FragmentWriter.serialize_records([metric, alert]).decode()


print(json.dumps({"tensorboard": tensorboard(), "swanlab": swanlab(), "trackio": trackio()}, indent=1))
