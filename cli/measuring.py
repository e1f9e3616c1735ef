"""What `mnist-fn bench` measures, put together: contenders in turn, widths, whole processes."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mnist_fn.shared.backend import names
from mnist_fn.shared.bench import timing
from mnist_fn.shared.bench.timing import Contender, Turns, spread, take_turns
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError

Say = Callable[[str], None]
MODELS_ON_A_GPU = (1, 4, 16, 64, 256)
MODELS_ON_A_CPU = (1, 4)
WIDTHS = (128, 256, 512, 1024, 2048)
EPOCHS = (1, 2, 4, 8)


class Bench:
    """The measurements of one configuration; what can't be measured here is listed with why."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        device: str,
        rounds: int,
        say: Say,
        only: tuple[str, ...] = (),
    ) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        self.rounds, self._say = rounds, say
        self._only = only  # contenders whose names contain one of these; () is all
        self.left_out: dict[str, str] = {}
        self.what: dict[str, str] = {}
        self._jax: Any = import_module("mnist_fn.bench")

    def _made(self, name: str, make: Callable[[], Iterator[Contender]]) -> list[Contender]:
        try:
            return list(make())
        except InputError as error:
            self.left_out[name] = str(error)
        except (ImportError, RuntimeError) as error:
            self.left_out[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        return []

    def epochs(self, folder: Path) -> Turns:
        """Seconds of every contender's epoch, round by round."""
        config, dataset, device = self.config, self.dataset, self.device
        contenders = []
        for name in names():
            generator = timing.backend_contenders(name, config, dataset, device)
            contenders += self._made(name, lambda generator=generator: generator)
        contenders += self._made("jax/products", lambda: self._jax.floor(config, dataset, device))
        contenders += self._made("jax/parts", lambda: self._jax.parts(config, dataset, device))
        contenders += self._torch("floor", config, dataset, device)
        contenders += self._torch("loops", config, dataset, device)
        contenders += self._torch("notebook", config, dataset, device, folder)
        self._check_only([contender.name for contender in contenders])
        usable = [contender for contender in contenders if self._works(contender)]
        self.what.update({contender.name: contender.what for contender in usable})
        return take_turns(usable, self.rounds, say=self._say)

    def _torch(self, function: str, *arguments: Any) -> list[Contender]:
        def make() -> Iterator[Contender]:
            yield from getattr(import_module("torch_ref.bench"), function)(*arguments)

        return self._made(f"torch/{function}", make)

    def _check_only(self, names: list[str]) -> None:
        """Refuse a part of a name that no contender has.

        Raises:
            InputError: --only names none of them.
        """
        for part in self._only:
            if not any(part in name for name in names):
                raise InputError(
                    f"--only {part[:40]!r}: must be in the name of one of these "
                    f"contenders: {', '.join(names)}"
                )

    def _works(self, contender: Contender) -> bool:
        """Its first run: compiles, and finds out what is missing (a C compiler, memory)."""
        if self._only and not any(part in contender.name for part in self._only):
            self.left_out[contender.name] = "--only"
            return False
        self._say(f"first {contender.name}")
        try:
            contender.run()
        except Exception as error:  # whatever it is, the others are still measured
            self.left_out[contender.name] = f"{type(error).__name__}: {str(error)[:120]}"
            return False
        return True

    def sweeps(self, on_gpu: bool) -> dict[str, list[float]]:
        """Seconds of an epoch of several models at once."""
        models = MODELS_ON_A_GPU if on_gpu else MODELS_ON_A_CPU
        contenders = self._made(
            "jax/sweep",
            lambda: self._jax.sweeps(self.config, self.dataset, self.device, models),
        )
        self.what.update({contender.name: contender.what for contender in contenders})
        return take_turns(contenders, self.rounds, say=self._say).wall

    def widths(self) -> list[dict[str, Any]]:
        """Epoch and floor over the width of a shallow model, in turns width by width."""
        rows = []
        for width in WIDTHS:
            config = self.config.replace(hidden=(width,))
            self._say(f"width {width}")
            pair = [
                next(timing.backend_contenders("jax", config, self.dataset, self.device)),
                next(self._jax.floor(config, self.dataset, self.device)),
            ]
            times = take_turns(pair, max(3, self.rounds // 2)).wall
            epoch, floor = (times[contender.name] for contender in pair)
            share = timing.ratio(times, pair[0].name, pair[1].name)
            rows.append(
                {"width": width, "epoch": spread(epoch), "floor": spread(floor), "ratio": share}
            )
        return rows

    def lengths(self) -> list[dict[str, Any]]:
        """Training for 1, 2, 4, 8 epochs: seconds of each length, in turns."""
        contender = next(timing.backend_contenders("jax", self.config, self.dataset, self.device))
        repeated = [
            Contender(str(n), "", lambda n=n: [contender.run() for _ in range(n)]) for n in EPOCHS
        ]
        times = take_turns(repeated, max(3, self.rounds // 2)).wall
        return [{"epochs": n, "train": spread(times[str(n)])} for n in EPOCHS]


def processes(config: Config, data_dir: Path | None, device: str, say: Say) -> dict[str, Any]:
    """Whole commands as a user starts them: seconds, and the memory each took at most."""
    options = ["--dataset", config.dataset, "--device", device, "--epochs", "1"]
    options += ["--hidden", ",".join(map(str, config.hidden)), "--batch-size"]
    options += [str(config.batch_size), *(["--data-dir", str(data_dir)] if data_dir else [])]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mnist-fn-bench-") as folder:
        say("mnist-fn --help")
        results["mnist-fn --help"] = _repeated(["--help"], folder, 7)
        for name in names():
            counter = itertools.count()

            def train(name: str = name, counter: Any = counter) -> list[str]:
                out = str(Path(folder) / f"{name}-{next(counter)}")
                return ["train", "--backend", name, *options, "--out", out]

            say(f"mnist-fn train --backend {name}, cold and warm")
            cold = _process(train(), folder)
            if cold is None:
                continue
            warm = [_process(train(), folder) for _ in range(5)]
            results[f"mnist-fn train --backend {name}"] = {
                "cold": cold["seconds"],
                "warm": spread([run["seconds"] for run in warm if run]),
                "peak_bytes": max(run["peak_bytes"] for run in warm if run),
            }
    return results


def budgets(config: Config, data_dir: Path | None, say: Say) -> Iterator[tuple[str, Any]]:
    """The two commands that have minutes to spend, once each: seconds, or why there are none."""
    checkout = Path(__file__).resolve().parents[1]
    ladder = [sys.executable, "-m", "cli.main", "parity", "--dataset", config.dataset]
    ladder += ["--data-dir", str(data_dir)] if data_dir else []
    commands = {"mnist-fn parity --level quick": ladder}
    if (checkout / "Makefile").exists():
        # in this environment, which has the test's tools or has not
        tested = ["--old-file", f"{sys.prefix}/.tested", f"VENV={sys.prefix}", "test"]
        commands["make test"] = ["make", "-C", str(checkout), *tested]
    for name, command in commands.items():
        say(name)
        done = _launch(command, dict(os.environ))
        if done is None:
            yield name, "failed"
        else:
            yield name, {"warm": spread([done["seconds"]]), "peak_bytes": done["peak_bytes"]}


def _repeated(arguments: list[str], folder: str, n: int) -> dict[str, Any]:
    done = [_process(arguments, folder) for _ in range(n + 1)][1:]
    return {
        "warm": spread([run["seconds"] for run in done if run]),
        "peak_bytes": max(run["peak_bytes"] for run in done if run),
    }


def _process(arguments: list[str], folder: str) -> dict[str, Any] | None:
    """Run the command with its caches in a folder of its own; None if it fails."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": folder,
        # data that the user's own cache has is found there still
        "MNIST_FN_DATA": os.environ.get("MNIST_FN_DATA") or _data_folder(),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    return _launch([sys.executable, "-m", "cli.main", *arguments], environment)


def _launch(command: list[str], environment: dict[str, str]) -> dict[str, Any] | None:
    """Run a command in a process of its own; None if it fails."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", _LAUNCHER, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


# A process counts the memory of the one it was forked from: so from a small one, not from here.
_LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
sys.exit(done.returncode)
"""


def _data_folder() -> str:
    from mnist_fn.shared.data.sources import cache_dir

    return str(cache_dir() / "data")
