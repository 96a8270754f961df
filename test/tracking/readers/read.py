"""What the trackers' own readers find, as JSON: {"scalars": {tag: [[step, value], ...]}, "texts": {tag: [[step, count], ...]}, ...}.

    read.py tensorboard FOLDER      EventAccumulator
    read.py trackio PROJECT RUN     trackio's import of its inbox, then trackio.Api
    read.py swanlab FOLDER          the store and the records of swanlab sync
"""

import json
import sys
from collections import defaultdict
from pathlib import Path


def number(value):
    """JSON has no NaN."""
    value = float(value)
    return value if value == value and abs(value) != float("inf") else str(value)


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [[e.step, number(e.value)] for e in events.Scalars(tag)] for tag in tags["scalars"]}
    texts = {}
    for tag in tags["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name != "text":
            continue
        arrays = [[e.step, tensor_util.make_ndarray(e.tensor_proto)] for e in events.Tensors(tag)]
        texts[tag] = [[step, len(array)] for step, array in arrays]
    return {"scalars": scalars, "texts": texts}


def trackio(project, run_name):
    import trackio
    from trackio import fragments
    from trackio.sqlite_storage import SQLiteStorage

    fragments.import_inbox_dir()
    api = trackio.Api()
    runs = [run for run in api.runs(project) if run.name == run_name]
    scalars = defaultdict(list)
    texts = defaultdict(list)
    for run in runs:
        for name in SQLiteStorage.get_all_metrics_for_run(project, run.name, run.id):
            for row in SQLiteStorage.get_metric_values(project, run.name, name, run_id=run.id):
                scalars[name].append([row["step"], number(row["value"])])
    for row in SQLiteStorage.get_traces(project, run_name, limit=100_000):
        texts[row["key"]].append(row["step"])
    return {
        "runs": len(runs),
        "scalars": scalars,
        "texts": {tag: [[step, steps.count(step)] for step in sorted(set(steps))] for tag, steps in texts.items()},
        "alerts": [alert["title"] for alert in api.alerts(project, run=run_name)],
        "config": runs[0].config,
    }


def swanlab(folder):
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    (path,) = Path(folder).glob("run-*.swanlab")
    reader = DataStoreReader()
    reader.open(path)
    scalars = defaultdict(list)
    texts = defaultdict(list)
    starts, finishes, saves = [], [], []
    while (data := reader.scan()) is not None:
        record = Record()
        record.ParseFromString(data)
        kind = next(name for name in ("start", "finish", "column", "scalar", "media", "log", "save") if record.HasField(name))
        if kind == "start":
            starts.append([record.start.project, record.start.name, record.start.id])
        elif kind == "finish":
            finishes.append(record.finish.state)
        elif kind == "scalar":
            scalars[record.scalar.key].append([record.scalar.step, number(record.scalar.value.number)])
        elif kind == "media":
            texts[record.media.key].append([record.media.step, len(record.media.value.items)])
        elif kind == "save":
            saves.append(record.save.name)
    return {"scalars": scalars, "texts": texts, "starts": starts, "finishes": finishes, "saves": saves}


json.dump({"tensorboard": tensorboard, "trackio": trackio, "swanlab": swanlab}[sys.argv[1]](*sys.argv[2:]), sys.stdout)
