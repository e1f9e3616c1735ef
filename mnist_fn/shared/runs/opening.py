"""Opening a run's folder to train in it: what is saved there, and where the run goes on."""

from dataclasses import dataclass, field
from typing import Any

from mnist_fn.shared.backend import Group
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.runs.environment import machine, this_hardware, versions
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.header import SECONDS, Header
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore, differences
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.streams import initial_state
from mnist_fn.shared.wording import counted

ANOTHER = ("choose another ", Argument("out"), ", or ", Argument("force", True))


class Diverged(InputError):  # noqa: N818 - it is the user's learning rate
    """A run's loss or weights exploded."""


@dataclass
class TrainingRun:
    """A run to be trained: its config, where it is kept, how far it has come."""

    config: Config
    folder: RunFolder | None = None  # None keeps the run in memory
    writes: bool = True  # into the folder; False in a worker, whose driver does
    existing: Header | None = None  # of the run in the folder; None: there is none yet
    state: StateTree | None = None  # the last saved; None: the initial one
    rows: list[Row] = field(default_factory=list)
    saved_epochs: int = 0
    error: Diverged | None = None
    # what is written into `run.json`, once the run has begun
    header: Header = field(init=False, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        existing = self.existing
        return existing is not None and existing.finished and len(self.rows) == self.config.epochs

    def stored(self) -> Run:
        """The finished run; InputError if its evaluation is missing or damaged."""
        if self.folder is None or self.existing is None or self.state is None:
            raise ValueError("no run is stored")
        return self.folder.as_run(self.existing, self.state, self.rows)

    def begin(self, dataset: Dataset, group: Group, compile_seconds: float) -> StateTree:
        """Write the run's header. Returns the state to go on from.

        Raises:
            InputError: the run began with other data, or can't be written.
        """
        existing = self.existing
        seconds: dict[str, float] = dict.fromkeys(SECONDS, 0.0)
        if existing is not None:
            existing.check_dataset(dataset)
            seconds |= existing.seconds
        seconds["compile"] += compile_seconds
        hardware = this_hardware(getattr(group, "threads", None))
        means: dict[str, Any] = {
            "device": group.device,
            "machine": machine(),
            "versions": versions(),
        }
        segment = {"backend": group.name, "first_epoch": len(self.rows) + 1, **means}
        self.header = Header(
            config=self.config,
            dataset_sha256=dataset.sha256,
            input_dim=dataset.pixels,
            num_classes=dataset.classes,
            backend=group.name,
            **means,
            status="unfinished",
            segments=segments_with(existing, {**segment, "hardware": hardware.to_dict()}),
            seconds=seconds,
            data_spec=existing.data_spec if existing else dataset.data_spec,
            hardware=hardware,
            imported=existing.imported if existing else {},
        )
        if self.folder is not None and self.writes:
            if existing is None:
                self.folder.clear()  # only now that the new run can begin
            self.folder.write_header(self.header)
        return self.state or initial_state(self.config, dataset.pixels, dataset.classes)

    @property
    def notice(self) -> str:
        """A warning if the run goes on with other threads than it began with, else ""."""
        previous, now = self.existing, self.header
        if previous is None or not self.rows or previous.backend != now.backend:
            return ""
        if previous.hardware == now.hardware or previous.hardware.threads is None:
            return ""
        return (
            f"epochs 1 to {len(self.rows)} were computed with {previous.hardware}, the others "
            f"with {now.hardware}: the result is not to the bit that of either throughout"
        )


def segments_with(header: Header | None, segment: dict[str, Any]) -> list[dict[str, Any]]:
    """A run's segments, with another one if it goes on by other means than before.

    Args:
        header: the run's header so far; None of a new run.
        segment: what goes on now, from its first epoch.
    """
    if header is None or not header.segments:
        return [segment]
    *earlier, last = header.segments
    # A segment written before this was recorded: its header's fields are those of its last epochs.
    last = {
        "device": header.device,
        "machine": header.machine,
        "versions": header.versions,
        "hardware": header.hardware.to_dict(),
        **last,
    }
    segments = [*earlier, last]
    while segments and segments[-1]["first_epoch"] == segment["first_epoch"]:
        segments.pop()  # it has done no epoch
    if segments and segments[-1] == {**segment, "first_epoch": segments[-1]["first_epoch"]}:
        return segments
    return [*segments, segment]


def open_run(
    config: Config, folder: RunFolder | None, *, overwrite: bool = False, longer: bool = False
) -> TrainingRun:
    """Read what is in a run's folder; the caller holds `storage.locked`.

    Args:
        config: what is to be trained there.
        folder: None keeps the run in memory.
        overwrite: an existing run is replaced, as soon as the new one can begin.
        longer: an existing run may differ in its number of epochs.

    Raises:
        InputError: another run is there, a damaged one, or one with more epochs than asked; or
            other runs lie in the folder.
    """
    if folder is None:
        return TrainingRun(config)
    if not folder.exists():
        _check_no_runs_inside(folder)
        strays = folder.result_files()
        if strays and not overwrite:
            raise InputError(
                f"{strays[0]}: there is no run.json in its folder", hint=(ANOTHER, " to replace it")
            )
        return TrainingRun(config, folder)
    if overwrite:
        return TrainingRun(config, folder)
    header = folder.read_header()
    if not longer:
        check_same_config(config, header, folder)
    state, rows = folder.read_progress(header)
    if len(rows) > config.epochs:
        raise InputError(
            (
                f"{folder.path}: has {counted(len(rows), 'epoch')} already, not ",
                Argument("epochs", config.epochs, given=True),
            )
        )
    return TrainingRun(
        config, folder, existing=header, state=state, rows=rows, saved_epochs=len(rows)
    )


def check_same_config(config: Config, header: Header, folder: RunFolder) -> None:
    """Raise InputError if the run in a folder is another than the one asked for."""
    changes = differences(header.config, config)
    if changes:
        text = "; ".join(f"{name} {old} there, {new} asked" for name, old, new in changes)
        raise InputError(
            f"{folder.path}: holds another run ({text})", hint=(ANOTHER, " to train again there")
        )


def _check_no_runs_inside(folder: RunFolder) -> None:
    """A run beside the folders of others would hide them: a reader would find a single run."""
    for path, _ in RunStore(folder.path):
        raise InputError(
            f"{folder.path}: holds runs ({path.name})",
            hint=("name a folder in it as ", Argument("out"), f", such as {folder.path / 'mine'}"),
        )
