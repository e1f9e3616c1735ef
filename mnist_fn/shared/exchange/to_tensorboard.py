"""A run's curves as TensorBoard's events: a scalar a figure, a step an epoch."""

import io
from pathlib import Path

from mnist_fn.shared.errors import missing
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.storage import made_folder, write_atomically

VERSION = "brain.Event:2"  # of the format, as its first event says it


def write_events(run: Run, folder: Path) -> Path:
    """Write an events file into a folder; the same run gives the same file.

    Tags are `loss/train`, `accuracy/test`, `accuracy of a class/3` and so on. An epoch's time was
    not kept: each event has that of the run's end.

    Raises:
        InputError: the extra tensorboard is not there, or the file can't be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise missing("--to tensorboard", "tensorboard", error) from error
    if run.path is None:
        raise ValueError("a run in memory has no files")
    ended = (run.path / "metrics.csv").stat().st_mtime
    file = io.BytesIO()
    records = RecordWriter(file)
    records.write(Event(wall_time=ended, file_version=VERSION).SerializeToString())
    for row in run.rows:
        summary = Summary()
        for name, value in row.items():
            if name != "epoch":
                split, figure, *label = name.split("_", 2)
                tag = f"accuracy of a class/{label[0]}" if label else f"{figure}/{split}"
                summary.value.add(tag=tag, simple_value=value)
        event = Event(wall_time=ended, step=int(row["epoch"]), summary=summary)
        records.write(event.SerializeToString())
    path = folder / f"events.out.tfevents.{int(ended)}.{run.path.name}"
    with made_folder(folder):
        write_atomically(path, file.getvalue())
    return path
