"""What workers send of runs, written into the runs' folders as a run of its own would be."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs.crew import GivenUp
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.mailbox import Answer, Letter, Training
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.opening import open_run
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Place, Run, Watch
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.storage import locked


@dataclass
class _Received:
    """A run at a worker, as far as it has come."""

    config: Config
    directory: RunDirectory
    rows: list[Row]
    saved: int  # epochs
    header: Header | None = None
    state: StateTree | None = None
    evaluation: Evaluation | None = None
    failed: str = ""

    def act(self, letter: Letter) -> None:
        """Write what a letter brings; InputError if it can't be."""
        if letter.kind == "clear":
            self.directory.clear()
        elif letter.kind == "header":
            self.header = letter.content
            self.directory.write_header(letter.content)
        elif letter.kind == "progress":
            header, self.state, self.saved = letter.content
            self.directory.write_progress(header, letter.content[1], self.rows[: self.saved])
        elif letter.kind == "evaluation" and self.state is not None:
            self.evaluation = letter.content
            self.directory.write_evaluation(letter.content, self.state.params)
        elif letter.kind == "failed":
            self.failed = letter.content

    @property
    def run(self) -> Run | None:
        """The finished run, None while it is not."""
        header, state, evaluation = self.header, self.state, self.evaluation
        if header is None or state is None or evaluation is None or header.status != "finished":
            return None
        return Run(
            self.config,
            header.backend,
            header.device,
            self.rows,
            state,
            evaluation,
            header.seconds,
            self.directory.path,
            form=header.form,
        )


class Received:
    """See `crew.Work`: runs of one shape that were equally far when they were handed out."""

    def __init__(
        self,
        runs: Sequence[tuple[Config, RunDirectory]],
        backend: str,
        device: str,
        memory: int | None,
        dataset: Dataset,
        watch: Watch,
        force: bool,
    ) -> None:
        self._runs, self._backend, self._device, self._memory = runs, backend, device, memory
        self._dataset, self._watch, self._force = dataset, watch, force
        self._there: list[_Received] = []
        self._ended: dict[Config, Run | InputError] = {}
        self._begun = False
        self._locks = ExitStack()

    def begin(self) -> Training:
        """Lock and open the folders of the runs that have not ended."""
        self._there, opened = [], []
        for config, directory in self._runs:
            if config in self._ended:
                continue
            self._locks.enter_context(locked(directory.path))
            run = open_run(config, directory, force=self._force and not self._begun)
            opened.append((directory.path, replace(run, directory=None)))
            self._there.append(_Received(config, directory, list(run.rows), len(run.rows)))
            if not self._begun:
                self._watch.on_start(config, self._dataset, self._device, len(run.rows))
        self._begun = True
        return Training(self._backend, self._device, self._memory, opened)

    def take(self, answer: Answer) -> None:
        """Keep new rows and act on letters."""
        for run, rows in zip(self._there, answer.rows, strict=False):  # none before it has begun
            run.rows += rows
            for row in rows:
                self._watch.on_epoch(row)
        for letter in answer.letters:
            run = self._there[letter.run]
            if letter.kind == "notice":
                self._watch.on_notice(f"{run.directory.path}: {letter.content}")
            else:
                run.act(letter)
        for run in self._there:
            if run.failed:
                self._ended[run.config] = InputError(run.failed)
            elif run.run is not None:
                self._ended[run.config] = run.run

    def lost(self, reason: str, given_up: bool) -> tuple[str, int]:
        """See Work."""
        self._locks.close()
        going = [run for run in self._there if run.config not in self._ended]
        epochs = sum(len(run.rows) - run.saved for run in going)
        names = ", ".join(f"{run.directory.path} from epoch {run.saved}" for run in going)
        if not given_up:
            return f"{reason}: another goes on with {names}", epochs
        for run in going:
            self._ended[run.config] = GivenUp(
                f"{run.directory.path}: its worker was lost again and again, the last: {reason}; "
                f"asked for again, it goes on after epoch {run.saved}"
            )
        return f"{reason}: given up {names}", epochs

    def end(self, kept: bool) -> list[tuple[Config, Run | InputError]]:
        """The runs in their order; nothing of them stays here."""
        self._locks.close()
        ended, self._ended, self._there = self._ended, {}, []
        return [(config, ended[config]) for config, _ in self._runs] if kept else []

    def place(self, where: str) -> Place:
        """See Work."""
        first = self._there[0]
        name = first.directory.path.name
        more = f" and {len(self._there) - 1} more" if len(self._there) > 1 else ""
        return Place(where, name + more, len(first.rows), first.config.epochs)
