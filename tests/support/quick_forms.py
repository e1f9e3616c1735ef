"""How each command of the pages is run quickly, and which are not run, with why."""

import re
import shlex

# What is not run by tests/docs/test_commands.py, and why.
NOT_RUN = {
    r"^make (demo|test\S*)$": "CI runs the README's two; the others take minutes to hours",
    r"^make (test-all|test-cluster|test-exhaustive|gpu-evidence|docs)\b": "minutes to hours",
    r"^python -m pytest -m exhaustive": "what make test-exhaustive runs",
    r"^(pip|ray|pre-commit|export) ": "changes the environment, or needs a second machine",
    r"^python docs/make/(evidence_|mutants)": "hours: the command of an evidence",
    r"^python docs/make/make_": "writes the pages; tests/docs holds each page to what it writes",
    r"^mnist-fn --(install|show)-completion": "changes the user's shell; tests/cli/test_doctor.py",
    r"^mnist-fn .*--device (gpu|cpu,gpu)": "needs a GPU",
    r"^mnist-fn .*(--workers|--cluster)": "needs Ray; tests/runs/test_workers.py",
    r"^mnist-fn data fetch": "needs a network; tests/data/test_download.py",
    r"^mnist-fn parity --backends mine,": "the page's own is in tests/parity/test_newcomer.py",
}
PLACES = {
    "RUN": "runs/mine", "runs/RUN": "runs/mine", "RUNS": "runs", "[FOLDER]": "runs",
    "FOLDER": "data", "kaggle/": "data", "OTHER": "data", "IMAGE…": "photo.jpg", "FILE": "model.pt",
}  # fmt: skip
IDX = ("--dataset", "idx", "--data-dir", "data")
SMALL = ("--hidden", "8", "--epochs", "1")
DIGITS = ("--dataset", "digits")
# What is added where the page's command has none of it, by the command.
ADDED = {
    "train": (*IDX, *SMALL),
    "sweep": (*IDX, *SMALL),
    "evaluate": ("--data-dir", "data"),
    "import": IDX,
    "report": ("--data-dir", "data"),
    "data": IDX,
    "parity": (*DIGITS, "--model", "linear", "--precision", "float64"),
    "study": ("--quick", *DIGITS),
    "figures": ("--quick", *DIGITS),
    "bench": (*DIGITS, "--rounds", "1", "--hidden", "8", "--only", "jax/train"),
}
# A sentence may name a command alone.
ALONE = {
    "port": ["my_port.py"],
    "evaluate": ["runs/mine"],
    "predict": ["runs/mine", "photo.jpg"],
    "import": ["model.pt", "--pixels", "0-1"],
    "export": ["runs/mine", "--to", "torch"],
    "report": ["runs"],
}
# Options that are set shorter, or left out.
SHORTER = {"sweep": {"--seeds": "2"}, "study": {"--seeds": None}, "bench": {"--out": None}}
JUDGED = {"parity", "port"}  # one epoch of two seeds, or the page's broken port: 0 or 1


def reason(command: str) -> str | None:
    """Why a command is not run; None if it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, command)), None)


def quick_forms(command: str) -> list[list[str]]:
    """The arguments of `mnist-fn` in the quick form of each of the commands joined by `&&` or |."""
    found = []
    for part in re.sub(r" \(.*", "", command).split(" && "):
        # the letters' labels begin with 1, so they have a folder of their own
        places = PLACES | ({"FOLDER": "letters"} if "emnist-letters" in part else {})
        words = [places.get(word, word) for word in shlex.split(part)]
        if words[0] != "mnist-fn":
            raise ValueError(f"no quick form of {part!r}")
        kinds = next((word.split("|") for word in words if "|" in word), [""])
        found += [_quick([kind if "|" in word else word for word in words[1:]]) for kind in kinds]
    return [one for one in found if reason(shlex.join(["mnist-fn", *one])) is None]


def _quick(words: list[str]) -> list[str]:
    name = words[0]
    if "--resume" in words:  # the run says its own; the sentence may leave its place out
        return words if words[-1] != "--resume" else [*words, "runs/mine"]
    words = words + ALONE.get(name, []) if len(words) == 1 else words
    for option, value in _shorter(name, words).items():
        if option in words:
            at = words.index(option)
            words = words[:at] + ([option, value] if value else []) + words[at + 2 :]
    added = [] if words[:2] == ["data", "cache"] else list(ADDED.get(name, ()))
    if "--level" in words and "horizon" in words:
        added += ["--epochs", "1"]
    return words + [
        word
        for option, value in _options(added)
        if option not in words
        for word in (option, *value)
    ]


def _shorter(name: str, words: list[str]) -> dict[str, str | None]:
    return {"--seeds": "2"} if name == "parity" and "statistics" in words else SHORTER.get(name, {})


def _options(words: list[str]) -> list[tuple[str, list[str]]]:
    """Each option with its values."""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            found.append((word, []))
        else:
            found[-1][1].append(word)
    return found
