"""Writes docs/reliability.md from docs/evidence/reliability-*.json:

python docs/make/make_reliability.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import DOCS, EVIDENCE

from mnist_fn.shared.wording import counted
from tests.hostile import conftest, test_files, test_outputs, test_pictures
from tests.support.losses import LOST, Result

PAGE = DOCS / "reliability.md"

HEAD = """\
# Reliability

You can rely on what this page lists: for each promise it says how it was tested, how often, and
what was lost. A run is kept in a folder, and these promises are about that folder and about the
bytes in it. [SECURITY.md](../SECURITY.md) says which inputs are trusted.

`python docs/make/make_reliability.py` writes this page from `docs/evidence/`; a test fails when
they disagree.
"""

BETWEEN_MACHINES = """\
## What a seed promises

The draws (initial weights, batch order, validation split) are the same bits on every machine;
digests in `tests/shared/test_streams.py` pin them. On a CPU, weights and metrics are the same bytes
for the same machine, versions and number of threads. Another number of threads sums a product in
another order, so the bytes may differ. `run.json` records what computed a run (`hardware`: the
cores that the process could use, the threads of the backend's arithmetic, the processor's vector
level). A run that is resumed under another count says so.

With another processor, device or version a seed doesn't promise the same bits, because training
amplifies the last digits. It still promises the same draws.

## What is not promised

- **Forgery.** The digest in a file detects damage; it is no signature. Whoever can write to a run's
  folder can forge a run.
- **One identity for both backends.** A run can be resumed on the other backend, so both runs of one
  experiment have the same identity. The checkpoint records which backend trained each epoch, and a
  `run.json` that was moved between two such runs is noticed.
- **Locks between machines.** `flock` locks processes of one machine. On a network disk it is as
  good as that disk makes it.
"""

EARLIER = """\
A check without a number of threads was made before threads were recorded, by earlier code.
"""

LIMIT = (
    f"{conftest.MAX_BYTES // 2**20} MiB beyond the imports, {conftest.MAX_SECONDS:.0f} s of "
    "processor time"
)
FILES = sum(
    len(cases)
    for cases in (
        test_files.WEIGHTS,
        test_files.DATA,
        test_files.RUN_FILES,
        test_files.RECORDINGS,
        test_files.NAMES,
    )
)

# Promises that every run of the test suite tries: (what, the tests, how it is tried).
IN_THE_SUITE = [
    ("A kill at each single operation that changes the disk leaves a run that resumes to the "
     "same bytes", "reliability_kills::test_a_fault_at_any_write_leaves_a_run_that_resumes",
     "at every flush, rename and removal, with a torn file"),
    ("On a full or read-only disk a command ends with one line and exit 2; the last good state is "
     "intact and resumes",
     "reliability_environment::test_a_full_disk_then_a_read_only_one_then_room",
     "a real small disk, and an error at every write"),
    ("`--force` keeps the old run until the new one can begin",
     "reliability_kills::test_a_kill_while_force_replaces_a_run", "a kill at every operation"),
    ("Ctrl-C and SIGTERM end with a checkpoint, exit 130 and 143",
     "reliability_kills::test_a_signal_before_the_first_epoch",
     "while loading, compiling and training"),
    ("One process at a time writes to a folder; a dead process holds no lock",
     "reliability_kills::test_two_processes_and_one_folder", "real processes, the first killed"),
    ("Every run of a sweep or a study has its own folder, or nothing is started",
     "folders::test_a_list_in_which_a_run_has_no_folder_of_its_own_is_refused_whole",
     "a run given twice, two of one name, a name too long"),
    ("NaN or infinity is never saved: it stops the run, and the state saved before is kept",
     "reliability_hostile::test_what_is_not_finite_stops_the_run_when_it_is_saved",
     "in the loss, a weight and either moment"),
    ("Bad input leaves nothing behind",
     "reliability_behind::test_training_without_data_leaves_nothing_behind",
     "a new folder and an existing one"),
    ("A `run.json` of another run or backend is noticed",
     "reliability_behind::test_a_run_json_of_another_backend_is_noticed",
     "the same config on two backends"),
    ("A zip bomb is refused", "reliability_hostile::test_a_zip_bomb_is_not_swallowed",
     "one large member, and 30,000 small ones"),
    ("A newer schema is refused by name",
     "reliability_hostile::test_a_newer_schema_is_refused_by_name",
     "run.json and evaluation.json"),
    ("A planted link is not written through",
     "reliability_hostile::test_a_planted_link_is_not_written_through",
     "the file, the temporary file, the lock"),
    ("No pickle, no `torch.load` without `weights_only`, no `eval`",
     "reliability_hostile::test_no_module_loads_code_from_a_file",
     "every module, imported and read"),
    ("Without a GPU, with a broken driver or without memory, one line says what to do",
     "reliability_environment::test_no_memory_left_is_one_line",
     "a real limit on memory; drivers simulated"),
    ("With locale C, 40 columns and no terminal, every number is shown whole",
     "reliability_environment::test_locale_c_40_columns_and_no_terminal", "a real process"),
    ("No command replaces a file that mnist-fn did not write, or an image that it reads; the "
     "output's place is checked before the work",
     "hostile/outputs::test_a_file_that_is_not_ours_stays",
     f"{len(test_outputs.OUTPUTS)} options of {len({name for name, _ in test_outputs.OUTPUTS})} "
     "commands, and their defaults"),
    ("A file that lies about its size, or unpacks to far more, is refused within bounds: at most "
     f"{LIMIT}",
     "hostile/files::test_data_of_any_claim_are_refused_within_bounds",
     f"{FILES} files of weights, data, names of classes, runs and recordings, in processes that "
     f"may take {conftest.ROOM // 2**20:,} MiB"),
    (f"A picture of any claimed size is read or refused within bounds: at most {LIMIT}",
     "hostile/pictures::test_a_picture_of_any_claim_is_refused_within_bounds",
     f"{len(test_pictures.CASES)} files of up to {test_pictures.SIDE**2 / 1e6:.0f} million pixels "
     "and more, in such processes"),
    ("A table of metrics takes at most 20 KiB a row",
     "runs/metrics::test_a_row_takes_bounded_memory",
     "256 classes and a validation split; measured around `metrics.read_csv` (`ru_maxrss`, Python "
     "3.11, Linux on x86-64): 143 MiB for 10,000 epochs of 256 classes, 10 MiB of 10"),
    ("A picture takes bounded time, whatever it shows, and doesn't stop the pictures after it",
     "hostile/pictures::test_dust_and_strokes_by_the_thousand_end_in_time_and_stop_no_other",
     "dots and strokes by the thousand"),
    ("Text from a file is shown as text, never as a formula, markup or escape sequence",
     "hostile/names::test_class_names_are_text_and_nothing_else",
     "class names and folders' names, in figures, the report and the terminal"),
    ("A `run.json` is checked field by field",
     "hostile/headers::test_a_header_short_of_a_key_is_refused_or_shown",
     "every key taken out, at every depth, its digest computed again"),
    ("A forged recording is refused in one line",
     "hostile/recordings::test_forged_recordings_are_refused_on_one_line",
     "every key of its header changed to other values, its digest computed again"),
    ("The cache of decompressed data has a bounded size",
     "hostile/cache::test_the_cache_is_bounded_and_the_oldest_go", "with a small bound"),
    ("Two writers of one file both succeed, and a killed writer leaves the file as it was",
     "shared/storage::test_two_writers_of_one_file", "real processes, one of them killed"),
]  # fmt: skip


def shown(lost: int) -> str:
    return str(lost) if lost == 0 else f"**{lost}**"


def kills(r: Result) -> tuple[str, str]:
    phases = ", ".join(f"{count} in {phase}" for phase, count in r["by_phase"].items())
    return ("After `kill -9` at any moment a run resumes: its weights, metrics and evaluation "
            "equal the uninterrupted run's, byte for byte, with no epoch twice or missing",
            f"{r['kills']} kills at random moments of runs on the 8 × 8 digits ({phases}), rows, "
            "weights and moments compared after each; "
            f"{r['runs_finished_and_compared']} finished runs compared")  # fmt: skip


def hostile(r: Result) -> tuple[str, str]:
    readers = ", ".join(r["by_reader"])
    return ("A hostile data, config or run file is refused in one line, or means what it says; "
            "memory is bounded",
            f"{r['inputs']:,} inputs to {len(r['by_reader'])} readers ({readers}); at most "
            f"{r['limit_mb']} MB to allocate")  # fmt: skip


def memory(r: Result) -> tuple[str, str]:
    return ("Memory hardly grows over many epochs",
            f"{r['epochs']:,} short epochs on the 8 × 8 digits: {r['growth_mb']:+.1f} MB, at most "
            f"{r['limit_mb']} allowed")  # fmt: skip


def peak(r: Result) -> tuple[str, str]:
    return (f"Peak memory of `{r['job']}` on MNIST stays under {r['limit_mb']:,} MB",
            f"{r['peak_mb']:,} MB in {r['epochs']} epochs")  # fmt: skip


def parallel(r: Result) -> tuple[str, str]:
    return ("Parallel runs in different folders don't disturb each other",
            f"{r['processes']} at once on the 8 × 8 digits, compared byte for byte")  # fmt: skip


def reproducible(r: Result) -> tuple[str, str]:
    return ("The same config on the same machine gives the same bytes, on the CPU",
            f"{r['runs']} runs of 2 epochs of MNIST, {r['under_load']} of them under load on "
            "every core")  # fmt: skip


CHECKS: dict[str, Callable[[Result], tuple[str, str]]] = {
    check.__name__: check for check in (kills, hostile, parallel, reproducible, memory, peak)
}


def documents(folder: Path = EVIDENCE) -> list[dict[str, Any]]:
    """The evidence, in the order of the page."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("reliability-*.json"))]
    order = list(CHECKS)
    return sorted(found, key=lambda d: (order.index(d["check"]), d["backend"] or ""))


def page(evidence: list[dict[str, Any]]) -> str:
    """The page as text."""
    lines = [HEAD, "## Measured", "", "| promised | on | tried | lost |", "|---|---|---|---|"]
    for document in evidence:
        check, result = document["check"], document["result"]
        promise, tried = CHECKS[check](result)
        lost = shown(LOST[check](result))
        lines.append(f"| {promise} | {document['backend'] or 'both'} | {tried} | {lost} |")
    lines += ["", "## In every run of the test suite", "",
              "| promised | tried | test |", "|---|---|---|"]  # fmt: skip
    for promise, test, tried in IN_THE_SUITE:
        lines.append(f"| {promise} | {tried} | `{path_of(test)}` |")
    lines += ["", BETWEEN_MACHINES, "## To repeat it", ""]
    lines += [f"- `{document['command']}` ({where(document)})" for document in evidence]
    if any("threads" not in document for document in evidence):
        lines += ["", EARLIER]
    return "\n".join(lines) + "\n"


def path_of(test: str) -> str:
    """`folder/file::name` as pytest takes it; the folder is `runs` where none is given."""
    file, name = test.split("::")
    folder, _, module = file.rpartition("/")
    return f"tests/{folder or 'runs'}/test_{module}.py::{name}"


def where(document: dict[str, Any]) -> str:
    versions = document["versions"]
    names = {"jax": ("jax",), "torch": ("torch",)}.get(document["backend"], ("numpy",))
    used = [f"{name} {versions[name]}" for name in ("python", *names)]
    threads = [counted(n, "thread") for n in document.get("threads", []) if n]
    return "; ".join([document["machine"], *threads, ", ".join(used)])


if __name__ == "__main__":
    PAGE.write_text(page(documents()))
