"""The study as it is asked for: its runs trained, its numbers judged, its report written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import load_for
from mnist_fn.shared.errors import Argument, InputError, Message, template
from mnist_fn.shared.runs.callbacks import Callbacks
from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.runs.notebook import html_table, pandas
from mnist_fn.shared.runs.store import Records, RunStore
from mnist_fn.shared.runs.trainer import followed
from mnist_fn.shared.storage import write_atomically, write_sealed
from mnist_fn.shared.study import experiments, report, tables
from mnist_fn.shared.sweeps.request import SweepRequest, Workers
from mnist_fn.shared.sweeps.runner import failures_document, train_runs
from mnist_fn.shared.wording import between

BOTH = ("jax", "torch")
MAX_SEEDS = 1000
_OF_THE_CALLER = ("callbacks", "progress", "command", "say")  # not of the study
TEN = ("mnist", "fashion-mnist", "kmnist", "digits")  # sets of ten classes


@dataclass(frozen=True)
class Study:
    """Compare every published number and statement with our runs, with a verdict."""

    document: dict[str, Any] = field(repr=False)  # as in study.json; plain values
    out: Path  # folder of the runs, of study.json and of study.md

    @property
    def page(self) -> str:
        """The report in Markdown, as in study.md."""
        return tables.page(self.document)

    @property
    def outside(self) -> list[str]:
        """Published numbers outside our interval, by backend, experiment and what it is of."""
        lines: list[str] = []
        for number in self.document["numbers"]:
            for backend, ours in number["ours"].items():
                if ours["verdict"] == "outside":
                    lines.append(f"{backend}: {number['experiment']}: {number['what']}")
        return lines

    @property
    def sentences(self) -> list[str]:
        """How it came out on each backend, what did not end, and why it is no study if so."""
        document = self.document
        sentences = []
        for name in document["backends"] if document["numbers"] else ():
            sentences.append(f"{name}: {report.outcome(document, name)}")
        for line in tables.unfinished(document):
            sentences.append(f"not finished: {line}")
        return sentences + ([document["warning"]] if document["warning"] else [])

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row for each published number and backend.

        It has the number in its unit (losses in nats, accuracies and shares 0 to 1, epochs from
        1), ours and the verdict.

        Raises:
            InputError: pandas is not installed.
        """
        about = ["experiment", "what", "unit", "statistic", "published"]
        rows = []
        for number in self.document["numbers"]:
            for backend, ours in number["ours"].items():
                rows.append({"backend": backend, **number, **ours})
        return pandas("study").DataFrame(
            rows, columns=["backend", *about, "n", "mean", "sd", "verdict"]
        )

    def _repr_html_(self) -> str:
        """How a notebook shows it: a short table, a number a row."""
        head, rows = tables.without(tables.number_table(self.document), "n", *tables.SHARPNESS)
        rows = [[cell.replace("*", "") for cell in row] for row in rows]  # it is Markdown
        return html_table(head, rows, notes=[*self.sentences, f"report: {self.out / 'study.md'}"])


def study(
    *,
    backend: str = "jax",
    seeds: int | None = None,
    seed: int = 0,
    only: str | Sequence[str] | None = None,
    quick: bool = False,
    dataset: str = "mnist",
    device: str = "auto",
    data_dir: Path | str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    out: Path | str | None = None,
    callbacks: Callbacks | None = None,
    progress: bool = True,
    command: str = "",
    say: Callable[[Message], str] = str,
) -> Study:
    """Run the study's experiments and judge every number that it published, as `mnist-fn study`
    does; all of them take hours, `quick=True` a minute.

    Args:
        backend: "jax", "torch", any installed one, or "both".
        seeds: runs of each config; None is 5.
        seed: the first.
        only: experiments, with commas or in a list: width-depth, templates, selection, chosen, l2,
            per-class, honest; None is all.
        quick: one seed, few epochs: a trial, not the study.
        dataset: whose; published numbers are MNIST's.
        device, data_dir, workers, threads, cluster, callbacks, progress: as for `sweep`.
        out: folder of the runs, of study.json and study.md; None is runs, or runs-quick for a quick
            one. Finished runs are not trained again.
        command: that the document says made it; "" is this call.
        say: words the errors in the document.

    Returns:
        Its `document`, `page`, `outside` and `to_frame()`.

    Raises:
        InputError: bad data, device, folder, experiment or number of seeds.
        Interrupted: Ctrl-C; all is saved.
    """
    arguments = locals().copy()
    given: list[str] = []
    for name, value in arguments.items():
        if value is not None and name not in _OF_THE_CALLER:
            given.append(f"{name}={value!r}")
    if quick and seeds is not None:
        raise InputError(
            template("{quick=True} has one seed and decides nothing: no {seeds} with it")
        )
    seeds = 1 if quick else 5 if seeds is None else seeds
    if not 1 <= seeds <= MAX_SEEDS:
        raise InputError("seeds", seeds, between(1, MAX_SEEDS))
    base = Config(dataset=dataset, seed=seed)
    folder = None if data_dir is None else Path(data_dir)
    check_classes(base, folder)
    lengths = experiments.QUICK if quick else experiments.FULL
    among = experiments.experiments(base, lengths)
    wanted = only if only is None or isinstance(only, str) else ",".join(only)
    chosen = experiments.choose(wanted, among)
    needs = experiments.needed(chosen, range(seed, seed + seeds))
    run_folder = Path(out or ("runs-quick" if quick else "runs"))
    pool = Workers.of(workers, threads, cluster)
    names = BOTH if backend == "both" else (backend,)
    with followed(callbacks, progress) as callbacks:
        store = RunStore(run_folder)
        records: dict[str, Records] = {}
        requests: list[SweepRequest] = []
        for name in names:
            records[name] = Records()
            request = SweepRequest(
                tuple(store.choose(needs, name)),
                name,
                device=device,
                data_dir=folder,
                out=run_folder,
                extends=True,
                workers=pool,
            )
            requests.append(request)
        failures: list[InputError] = []
        for request, _, run in train_runs(requests, callbacks, store):
            if isinstance(run, InputError):
                failures.append(run)
            else:
                records[request.backend].add(run)
    warning = None
    if quick:
        warning = report.QUICK_RUN
    elif base.dataset != "mnist":
        warning = (
            f"NOT THE STUDY: {base.dataset} instead of mnist; the published numbers are not its"
        )
    document = report.document(
        {experiment.name: experiment for experiment in chosen},
        records,
        warning=warning,
        command=command or f"mnist_fn.study({', '.join(given)})",
        machine=machine(),
        versions=versions(),
        **failures_document(failures, say),
    )
    result = Study(document, run_folder)
    write_sealed(run_folder / "study.json", document)
    write_atomically(run_folder / "study.md", result.page.encode())
    return result


def check_classes(base: Config, data_dir: Path | None) -> None:
    """InputError for a set without the ten classes that the experiments read."""
    if base.dataset in TEN:
        return
    if (classes := load_for(base.replace(batch_size=1), data_dir).classes) != 10:
        raise InputError(
            (Argument("dataset", base.dataset), f": it has {classes} classes"),
            hint="the study is MNIST's, its experiments and published numbers are of ten digits: "
            "use train, sweep and report",
        )
