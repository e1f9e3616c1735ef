"""Measure what lies beside an epoch: whole commands, widths, models at once, parts of the epoch.

    python docs/make/evidence_speed.py                       # docs/evidence/speed-cpu.json
    python docs/make/evidence_speed.py --device gpu --only models --out FILE
    python docs/make/evidence_speed.py --trace FOLDER        # one JAX epoch's kernels, by name

Its contenders take turns as those of `mnist-fn bench` do; the file is written on a quiet machine.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pages import EVIDENCE
from quiet import check_before, refuse_if_busy

from mnist_fn.shared.bench.contenders import Contender
from mnist_fn.shared.bench.quiet import Others
from mnist_fn.shared.bench.report import ratio, spread
from mnist_fn.shared.bench.timing import Turn, Turns, epoch, in_a_process, take_turns
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load_for
from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.storage import write_sealed

SCHEMA = 1
SECTIONS = ("parts", "changes", "models", "widths", "processes")
WIDTHS = (128, 256, 512, 1024, 2048)
MODELS = {"cpu": (1, 4), "gpu": (1, 4, 16, 64, 256)}
# Each is a program of its own, and programs fuse differently: their differences are near, not exact
PARTS = {
    "jax/traffic": "reading and writing what Adam must, alone",
    "jax/no Adam": "plain gradient descent instead of Adam",
    "jax/no Adam or gather": "and always the same batch",
    "jax/no Adam, gather or penalty": "and without λ Σ W²",
}
# What was tried: each changes what a process of its own trains with, and trains as ever.
CHANGES = {
    "one division": "PyTorch's arrangement of Adam: one division and one root for each weight",
    "one pass of the loss": "loss and its gradient written as one function of the logits",
    "unrolled": "two steps in each turn of the scan",
    "narrow vectors": "XLA's own width of vectors, which is half of the processor's",
    "Eigen": "all products by Eigen, none by YNNPACK",
    "huge pages": "memory in pages of 2 MB (`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`)",
    "after the notebook": "in a process that has trained the notebook's way before",
}
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# A process counts the memory of the one it was forked from: so from a small one, not from here.
LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
seconds = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
"""


def make(
    name: str, config: Config, dataset: Dataset, device: str
) -> tuple[Callable[[], object], str]:
    """`jax/sweep of N`: an epoch of N models as `mnist-fn sweep` trains them; else one of PARTS or
    of CHANGES.
    """
    if name == "jax/traffic":
        return _traffic(config, dataset, device)
    if name in PARTS:
        return _part(name, config, dataset, device)
    if name in CHANGES:
        _change(name, config, dataset, device)
        return epoch("jax/train", config, dataset, device)
    return _models(int(name.rpartition(" ")[2]), config, dataset, device)


def _part(
    name: str, config: Config, dataset: Dataset, device: str
) -> tuple[Callable[[], object], str]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mnist_fn.backend import describe, find_devices, make_model, place, scope
    from mnist_fn.bench import compiled
    from mnist_fn.shared.streams import batch_order, initial_state
    from mnist_fn.training import Data, make_loss

    jax_device = find_devices(device)[0]
    start = initial_state(config, dataset.pixels, dataset.classes)
    steps = len(dataset.train) // config.batch_size
    order = batch_order(config.seed, 1, len(dataset.train))[: steps * config.batch_size]
    loss = make_loss(make_model(config, dataset.classes, jax_device))

    def objective(params: Any, images: Any, labels: Any) -> Any:
        penalized, sums = loss(params, images, labels, config.l2)
        return (sums[0] if "penalty" in name else penalized), sums

    def step(data: Any, params: Any, batch: Any) -> Any:
        images = data.images[: len(batch)] if "gather" in name else data.images[batch]
        grads, sums = jax.grad(objective, has_aux=True)(params, images, data.labels[batch])
        return jax.tree.map(lambda p, g: p - 5e-4 * g, params, grads), sums

    with scope(config, jax_device):
        data = Data(*place(dataset.train, np.dtype(config.dtype), jax_device))
        params = jax.device_put(start.params, jax_device)
        batches = jnp.asarray(order.reshape(steps, -1))
        run = compiled(lambda d, p, b: jax.lax.scan(partial(step, d), p, b), data, params, batches)
    return run, describe(jax_device)


def _traffic(config: Config, dataset: Dataset, device: str) -> tuple[Callable[[], object], str]:
    """Read weights, both moments and gradients, and write the first three: what Adam must."""
    import jax

    from mnist_fn.backend import describe, find_devices, scope
    from mnist_fn.bench import compiled
    from mnist_fn.shared.streams import initial_state

    jax_device = find_devices(device)[0]
    start = initial_state(config, dataset.pixels, dataset.classes)
    steps = len(dataset.train) // config.batch_size
    shrink = partial(jax.tree.map, lambda x: (1 - 2.0**-20) * x)
    add = partial(jax.tree.map, lambda x, g: x + 2.0**-20 * g)

    def step(trees: Any, grads: Any) -> Any:
        return shrink(trees[0]), add(trees[1], grads), shrink(trees[2])

    def epoch_of_steps(params: Any, mu: Any, nu: Any, grads: Any) -> Any:
        trees = params, mu, nu
        return jax.lax.scan(lambda t, _: (step(t, grads), None), trees, None, length=steps)[0]

    with scope(config, jax_device):
        weights = jax.device_put([layer["kernel"] for layer in start.params.values()], jax_device)
        run = compiled(epoch_of_steps, weights, weights, weights, weights)
    return run, describe(jax_device)


def _change(name: str, config: Config, dataset: Dataset, device: str) -> None:
    """Change what this process trains with."""
    import jax
    import optax

    from mnist_fn import compiling
    from torch_ref.bench import make as make_torch

    if name == "one division":
        optax.scale_by_adam = partial(_adam_of_one_division, optax.scale_by_adam().init)
    elif name == "one pass of the loss":
        optax.softmax_cross_entropy_with_integer_labels = _cross_entropy
    elif name == "unrolled":
        jax.lax.scan = partial(jax.lax.scan, unroll=2)
    elif name == "narrow vectors":
        compiling.WIDE_VECTORS.clear()
    elif name == "Eigen":
        compiling.WIDE_VECTORS["xla_cpu_experimental_ynn_fusion_type"] = ""
    elif name == "after the notebook":
        run, _ = make_torch("torch/notebook", config, dataset, device)
        run()


def _adam_of_one_division(init: Any, b1: float, b2: float, eps: float) -> Any:
    import jax
    import jax.numpy as jnp
    import optax

    def update(grads: Any, state: Any, _: Any = None) -> tuple[Any, Any]:
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, grads)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, grads)
        first, second = 1 / (1 - b1**count), 1 / jnp.sqrt(1 - b2**count)
        updates = jax.tree.map(lambda m, v: first * m / (jnp.sqrt(v) * second + eps), mu, nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    import jax
    import jax.numpy as jnp

    is_label = labels[:, None] == jnp.arange(logits.shape[1])

    def forward(logits: Any) -> tuple[Any, tuple[Any, Any]]:
        highest = logits.max(axis=1, keepdims=True)
        powers = jnp.exp(logits - highest)
        total = powers.sum(axis=1, keepdims=True)
        of_label = jnp.where(is_label, logits, 0).sum(axis=1)
        return (jnp.log(total) + highest)[:, 0] - of_label, (powers, total)

    loss = jax.custom_vjp(lambda logits: forward(logits)[0])
    loss.defvjp(forward, lambda kept, slope: ((kept[0] / kept[1] - is_label) * slope[:, None],))
    return loss(logits)


def _models(
    count: int, config: Config, dataset: Dataset, device: str
) -> tuple[Callable[[], object], str]:
    from mnist_fn.capacity import make_group
    from mnist_fn.shared.streams import batch_order, initial_state
    from mnist_fn.shared.sweeps.request import grid

    group = make_group(config, dataset, device, count, None)
    configs = grid(config, seeds=count)
    loads = []
    for start in range(0, count, group.size):
        chunk = configs[start : start + group.size]
        states = [initial_state(one, dataset.pixels, dataset.classes) for one in chunk]
        orders = [batch_order(one.seed, 1, len(dataset.train)) for one in chunk]
        loads.append((group.load(chunk, states), orders))

    def run() -> None:
        for i, (state, orders) in enumerate(loads):
            loads[i] = group.train_epoch(state, orders)[0], orders

    return run, group.device


def processes(config: Config, device: str) -> dict[str, Any]:
    """Whole commands as a user starts them: seconds, and the memory each took at most."""
    train = f"train --dataset {config.dataset} --device {device} --epochs 1 --out run"
    commands = {
        "mnist-fn --help": ("--help", 6),
        "mnist-fn train --backend jax": (f"{train} --backend jax", 6),
        "mnist-fn train --backend torch": (f"{train} --backend torch", 6),
        "mnist-fn parity --level quick": (f"parity --dataset {config.dataset}", 2),
    }
    results: dict[str, Any] = {}
    for name, (arguments, starts) in commands.items():
        with tempfile.TemporaryDirectory() as caches:
            cold, *warm = [_process(arguments.split(), caches) for _ in range(starts)]
        results[name] = {
            "cold": cold["seconds"],
            "warm": spread([done["seconds"] for done in warm]),
            "peak_bytes": max(done["peak_bytes"] for done in warm),
        }
    return results


def _process(arguments: list[str], caches: str) -> dict[str, Any]:
    """Run the command in an empty folder; data that the user's own cache has are found still."""
    from mnist_fn.shared.data.cache import cache_dir

    environment = {"MNIST_FN_DATA": str(cache_dir() / "data"), **os.environ}
    environment["XDG_CACHE_HOME"] = caches
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "cli.main", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
        )
    return json.loads(done.stdout)


def measure(section: str, config: Config, device: str, rounds: int) -> Any:
    """What a section of the document says."""

    def turns(config: Config, *contenders: Contender) -> Turns:
        def turn(contender: Contender) -> Turn:
            if contender.name == "huge pages":
                os.environ.update(HUGE_PAGES)
            try:
                return in_a_process(contender, config, None, device)
            finally:
                os.environ.pop("GLIBC_TUNABLES", None)

        return take_turns(contenders, rounds, turn)

    train = Contender("jax/train", "an epoch of jax, training")
    products = Contender("jax/products", "its matrix products alone", "mnist_fn.bench")
    if section == "processes":
        return processes(config, device)
    if section == "parts":
        parts = [Contender(name, what, "evidence_speed") for name, what in PARTS.items()]
        return turns(config, train, *parts, products).wall
    if section == "changes":
        changes = [Contender(name, what, "evidence_speed") for name, what in CHANGES.items()]
        measured = turns(config, train, *changes)
        rows = []
        for change in changes:
            if change.name in measured.wall:
                pair = (change.name, train.name)
                times = {"wall": ratio(measured.wall, *pair), "cpu": ratio(measured.cpu, *pair)}
                rows.append({"name": change.name, "what": change.what, **times})
        return rows
    if section == "models":
        names = [f"jax/sweep of {count}" for count in MODELS[device]]
        groups = [Contender(name, "an epoch of them", "evidence_speed") for name in names]
        return {name: spread(times) for name, times in turns(config, *groups).wall.items()}
    rows = []
    for width in WIDTHS:
        wall = turns(config.replace(hidden=(width,)), train, products).wall
        rows.append(
            {
                "width": width,
                "epoch": spread(wall["jax/train"]),
                "floor": spread(wall["jax/products"]),
                "ratio": ratio(wall, "jax/train", "jax/products"),
            }
        )
    return rows


def trace(config: Config, folder: str, device: str) -> None:
    """Profile one JAX epoch into a folder that TensorBoard and Perfetto read."""
    import jax

    run, _ = epoch("jax/train", config, load_for(config, None), device)
    run()
    with jax.profiler.trace(folder):
        run()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=MODELS)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--json", action="store_true", help="print it; no file")
    parser.add_argument("--trace")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])  # where make() is found, and tests
    config = Config(l2=3e-5, dataset=options.dataset)
    if options.trace:
        trace(config, options.trace, options.device)
        return
    out = options.out or EVIDENCE / f"speed-{options.device}.json"
    if not options.json:
        check_before(out)
    others = Others()
    document = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "docs/make/evidence_speed.py", *sys.argv[1:]]),
        "config": config.to_dict(),
        "machine": machine(),
        "versions": versions(),
    }
    for section in options.only or SECTIONS:
        document[section] = measure(section, config, options.device, options.rounds)
    load = others.to_dict()
    if options.json:
        print(json.dumps({**document, "others": load}))
    else:
        refuse_if_busy(out, load, "while contenders took turns")
        write_sealed(out, {**document, "others": load})


if __name__ == "__main__":
    main()
