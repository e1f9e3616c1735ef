"""Opening a run's folder: what is there already, and what goes on from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fn.shared.backend import Group
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.computed import here
from mnist_fn.shared.runs.folders import differing
from mnist_fn.shared.runs.library import headers
from mnist_fn.shared.runs.loop import Member
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.records import Header, RunDirectory, machine, versions
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.streams import initial_state


@dataclass(frozen=True)
class Opened:
    """A run to be trained, or finished already, as its folder has it."""

    config: Config
    directory: RunDirectory | None  # None keeps the run in memory
    existing: Header | None  # None: nothing is there yet
    state: StateTree | None  # the last saved; None: the initial one
    rows: list[Row]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return (
            self.existing is not None
            and self.existing.status == "finished"
            and len(self.rows) == self.config.epochs
        )

    def stored(self) -> Run:
        """The finished run; InputError if its evaluation is missing or damaged."""
        if self.directory is None or self.existing is None or self.state is None:
            raise ValueError("nothing is stored")
        return stored_run(self.directory, self.existing, self.state, self.rows)

    def start(self, dataset: Dataset) -> StateTree:
        """The state to go on from."""
        return self.state or initial_state(self.config, dataset.pixels, dataset.classes)

    def begin(self, dataset: Dataset, group: Group, compile_seconds: float) -> Member:
        """Write the run's header and make it a member of a job.

        Raises:
            InputError: the run began with other data, or can't be written.
        """
        existing, none = self.existing, {"compile": 0.0, "train": 0.0, "total": 0.0}
        if existing is not None:
            check_same_data(existing, dataset)
        computed = here(getattr(group, "threads", None))
        leg = {
            "backend": group.name,
            "first_epoch": len(self.rows) + 1,
            "device": group.device,
            "machine": machine(),
            "versions": versions(),
            "computed": computed.to_dict(),
        }
        legs = legs_with(existing, leg)
        seconds = dict(existing.seconds) if existing else none
        seconds["compile"] += compile_seconds
        header = Header(
            config=self.config,
            dataset_sha256=dataset.sha256,
            pixels=dataset.pixels,
            classes=dataset.classes,
            backend=group.name,
            device=group.device,
            status="unfinished",
            versions=leg["versions"],
            machine=leg["machine"],
            legs=legs,
            seconds=seconds,
            form=existing.form if existing else dataset.form,
            computed=computed,
            imported=existing.imported if existing else {},
        )
        if self.directory is not None:
            if existing is None:
                self.directory.clear()  # only now that the new run can begin
            self.directory.write_header(header)
        notice = _otherwise(existing, header, len(self.rows))
        return Member(self.config, header, self.directory, self.rows, len(self.rows), notice)


def legs_with(before: Header | None, leg: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a run's legs, with another one if it goes on by other means than before.

    Args:
        before: the run's header so far; None of a new run.
        leg: what goes on now, from its first epoch.
    """
    if before is None or not before.legs:
        return [leg]
    *earlier, last = before.legs
    # A leg written before this was recorded: its header's fields are those of its last epochs.
    last = {
        "device": before.device,
        "machine": before.machine,
        "versions": before.versions,
        "computed": before.computed.to_dict(),
        **last,
    }
    legs = [*earlier, last]
    while legs and legs[-1]["first_epoch"] == leg["first_epoch"]:  # that one has done no epoch
        legs.pop()
    if legs and legs[-1] == {**leg, "first_epoch": legs[-1]["first_epoch"]}:
        return legs
    return [*legs, leg]


def _otherwise(before: Header | None, now: Header, done: int) -> str:
    """What is said where a run goes on computed otherwise than it began; "" where it does not."""
    if before is None or not done or before.backend != now.backend:
        return ""
    if before.computed == now.computed or before.computed.threads is None:
        return ""
    return (
        f"the first {done} epochs were computed with {before.computed}, the others with "
        f"{now.computed}: the result is not to the bit that of one of them alone"
    )


def open_run(
    config: Config, directory: RunDirectory | None, *, force: bool = False, longer: bool = False
) -> Opened:
    """Look at what is in a folder; `storage.locked` is the caller's.

    Args:
        config: what is to be trained there.
        directory: None keeps the run in memory.
        force: a run that is there is replaced, as soon as the new one can begin.
        longer: a run there may differ in its number of epochs.

    Raises:
        InputError: another run is there, a damaged one, or one with more epochs than asked; or
            other runs lie in the folder.
    """
    if directory is None:
        return Opened(config, None, None, None, [])
    there = directory.exists()
    if not there:
        _check_own(directory.path)
        if not force and (strays := directory.results()):
            raise InputError(
                f"{strays[0]}: there is no run.json beside it; choose another `out`, "
                "or `force=True` to replace it"
            )
    if force or not there:
        return Opened(config, directory, None, None, [])
    existing = directory.read_header()
    if not longer:
        _check_same(config, existing.config, directory.path)
    state, rows = directory.read_progress(existing)
    if len(rows) > config.epochs:
        raise InputError(
            f"{directory.path}: has {len(rows)} epochs already, `epochs={config.epochs}` asked"
        )
    return Opened(config, directory, existing, state, rows)


def stored_run(directory: RunDirectory, header: Header, state: StateTree, rows: list[Row]) -> Run:
    """A finished run as a value; InputError if its evaluation is missing or damaged."""
    return Run(
        header.config,
        header.backend,
        header.device,
        rows,
        state,
        directory.read_evaluation(state.params),
        header.seconds,
        directory.path,
        trained=False,
        form=header.form,
    )


def check_same_data(header: Header, dataset: Dataset) -> None:
    """InputError if a run began with other data than these."""
    if header.dataset_sha256 != dataset.sha256:
        raise InputError(
            f"{dataset.name}: not the data that this run began with (SHA-256 "
            f"{header.dataset_sha256[:16]} then, {dataset.sha256[:16]} now)"
        )
    if header.form.labels != dataset.form.labels:
        raise InputError(
            f"{dataset.name}: {dataset.classes} classes, this run began with "
            f"{header.classes}; put the names of its classes beside the data as they were"
        )


def _check_own(path: Path) -> None:
    """A run beside others' folders would hide them: who looks there finds a run, not runs."""
    for inside, _ in headers([path] if path.is_dir() else []):
        raise InputError(
            f"{path}: holds runs ({inside.name}); name a folder in it as `out`, "
            f"such as {path / 'mine'}"
        )


def _check_same(asked: Config, there: Config, path: Path) -> None:
    if asked == there:
        return
    unlike = [
        f"{name} {before} there, {now} asked" for name, before, now in differing(there, asked)
    ]
    raise InputError(
        f"{path}: holds another run ({'; '.join(unlike)}); choose another `out`, "
        "or `force=True` to train anew there"
    )
