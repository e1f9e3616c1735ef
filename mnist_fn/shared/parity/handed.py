"""Horizons measured by workers, one experiment each; what comes of one that is lost starts anew."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.parity import horizon
from mnist_fn.shared.parity.levels import Plan
from mnist_fn.shared.runs.crew import Crew
from mnist_fn.shared.runs.mailbox import Answer, Desk, Letter
from mnist_fn.shared.runs.run import Place, Watch


@dataclass(frozen=True)
class _Measuring:
    """See `mailbox.Task`."""

    plan: Plan
    config: Config

    def work(self, desk: Desk) -> None:
        """Measure one horizon."""
        mailbox = desk.mailbox

        def on_epoch(epoch: int) -> None:
            mailbox.put(Letter(0, "epoch", epoch))
            if mailbox.stop:
                raise Interrupted("a horizon is measured in one go")

        pair = self.plan.pair(self.config, desk.whole)
        mailbox.put(Letter(0, "result", horizon.measure(pair, self.config.epochs, on_epoch)))


class _Horizon:
    """See `crew.Work`."""

    def __init__(
        self, plan: Plan, name: dict[str, str], config: Config, dataset: Dataset, watch: Watch
    ) -> None:
        self.name = name
        self._task, self._watch, self._epoch = _Measuring(plan, config), watch, 0
        self._found: dict[str, Any] | None = None
        watch.on_start(config, dataset, plan.devices[0], 0)

    def begin(self) -> _Measuring:
        self._epoch = 0
        return self._task

    def take(self, answer: Answer) -> None:
        for letter in answer.letters:
            if letter.kind == "result":
                self._found = letter.content
            else:
                self._epoch = letter.content
                self._watch.on_epoch({"epoch": letter.content})

    def lost(self, reason: str, given_up: bool) -> tuple[str, int]:
        words = ", ".join(self.name.values())
        if given_up:
            raise InputError(f"the horizon of {words}: its worker was lost again ({reason})")
        return f"{reason}: another begins the horizon of {words}", self._epoch

    def end(self, kept: bool) -> list[tuple[dict[str, str], dict[str, Any]]]:
        return [(self.name, self._found)] if kept and self._found is not None else []

    def place(self, where: str) -> Place:
        return Place(where, ", ".join(self.name.values()), self._epoch, self._task.config.epochs)


def horizons(
    plan: Plan, crew: Crew, watch: Watch
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Each experiment's name and its horizon, as they come; errors as for `Crew.work`."""
    plan = replace(plan, devices=(crew.device, crew.device))
    works = [_Horizon(plan, name, config, crew.dataset, watch) for name, config in plan.horizons()]
    yield from crew.work(works, watch)
