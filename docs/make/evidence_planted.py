"""Train the study with mistakes that reproductions make: docs/evidence/planted.json.

    PJRT_NPROC=1 python docs/make/evidence_planted.py [--seconds 3600] [--processes 2]

Each mistake is trained as the study's own runs are, on JAX, with seeds that the study's evidence
does not have; `plan` says what of each. A run that is in the file already is not trained again, so
the command may be stopped and repeated. Nine mistakes need trainings of their own. The tenth, a
test set evaluated in the wrong epoch, is read off the study's own runs with their rows moved by one
epoch (`make_study.py`, which also makes the table).
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from pages import EVIDENCE

from mnist_fn import training
from mnist_fn.model import MLP
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import load, scale_pixels
from mnist_fn.shared.evaluation import evaluate
from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.streams import batch_order, initial_state
from mnist_fn.shared.study import experiments

FILE = EVIDENCE / "planted.json"
FIRST_SEED = 1000  # the study's own seeds end far below
MEAN, SD = 0.1307, 0.3081  # of MNIST's training pixels, as tutorials have them


class ReluMLP(MLP):
    """The model with a ReLU on its logits."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(super().__call__(x))


@dataclass(frozen=True)
class Mistake:
    """One mistake: what it changes of the study's training."""

    name: str
    change: Callable[[Config], Config] = lambda config: config
    flax_start: bool = False  # lecun_normal kernels, zero biases
    order: str = "every epoch"  # "never", "once": when examples are shuffled
    standardize: bool = False
    relu_at_end: bool = False
    penalize_biases: bool = False
    needs_penalty: bool = False  # seen only where λ is above 0


MISTAKES = (
    Mistake("λ halved", lambda c: c.replace(l2=c.l2 / 2), needs_penalty=True),
    Mistake("biases penalized", penalize_biases=True, needs_penalty=True),
    Mistake("learning rate doubled", lambda c: c.replace(learning_rate=2 * c.learning_rate)),
    Mistake("batches of 100", lambda c: c.replace(batch_size=100)),
    Mistake("Flax's default initialization", flax_start=True),
    Mistake("no shuffling", order="never"),
    Mistake("the same shuffle every epoch", order="once"),
    Mistake("inputs standardized", standardize=True),
    Mistake("ReLU after the last layer", relu_at_end=True),
)


def plan() -> Iterator[tuple[Mistake, str, Config]]:
    """Yield each training: the mistake, the experiment's name, the config as the study means it.

    The published study has five short runs of two models, the chosen model's, and one of each λ.
    Rounds come in turn, the λ table's among them, so that a training that is stopped has about the
    same of all mistakes.
    """
    study = experiments.experiments(Config(seed=FIRST_SEED))
    shallow, deep = study["selection"].configs
    (chosen,) = study["chosen"].configs
    others = [mistake for mistake in MISTAKES if not mistake.needs_penalty]
    penalized = [mistake for mistake in MISTAKES if mistake.needs_penalty]
    tables = [config for config in study["l2"].configs if config.l2]
    short = [("chosen", chosen), *[("selection", shallow), ("selection", deep)] * 5]
    for number, (name, config) in enumerate(short):
        for mistake in others:
            yield mistake, name, config.replace(seed=FIRST_SEED + number)
        if number < len(tables):
            for mistake in penalized:
                yield mistake, "l2", tables[number]


def train_by_name(name: str, asked: Config) -> dict[str, Any]:
    """Train one run in a process of its own, to which a mistake's functions can't be sent."""
    (mistake,) = (mistake for mistake in MISTAKES if mistake.name == name)
    return train(mistake, asked, load("mnist"))


def train(mistake: Mistake, asked: Config, dataset: Any) -> dict[str, Any]:
    """Train one run with a mistake: test loss and accuracy of each epoch, the last's confusions."""
    penalty = penalty_with_biases if mistake.penalize_biases else training.penalty
    with patch.object(training, "penalty", penalty):
        return _train(mistake, mistake.change(asked), dataset)


def _train(mistake: Mistake, config: Config, dataset: Any) -> dict[str, Any]:
    images = [scale_pixels(split.images, "float32") for split in (dataset.train, dataset.test)]
    if mistake.standardize:
        images = [(pixels - np.float32(MEAN)) / np.float32(SD) for pixels in images]
    model = (ReluMLP if mistake.relu_at_end else MLP)(config.hidden)
    start = initial_state(config, dataset.pixels, dataset.classes)
    params = start.params
    if mistake.flax_start:
        plain = nn.Sequential([nn.Dense(width) for width in (*config.hidden, 10)])
        drawn = plain.init(jax.random.key(config.seed), images[0][:1])["params"]
        params = dict(zip(params, drawn.values(), strict=True))
    params, slots = jax.tree.map(jnp.asarray, (params, start.slots))
    state = training.State(params, slots, jnp.int32(0))
    data = training.Data(jnp.asarray(images[0]), jnp.asarray(dataset.train.labels, jnp.int32))
    hyper = training.Hyper(*map(jnp.float32, (config.learning_rate, config.l2, 0.0)))
    epoch_of = jax.jit(training.make_train_epoch(model, config.batch_size), donate_argnums=0)
    logits_of = jax.jit(lambda params, pixels: training.apply(model, params, pixels))
    test = jnp.asarray(images[1])
    losses, accuracies, matrix = [], [], []
    for epoch in range(1, config.epochs + 1):
        order = batch_order(config.seed, 1 if mistake.order == "once" else epoch, len(images[0]))
        if mistake.order == "never":
            order = np.arange(len(order), dtype=order.dtype)
        state, _ = epoch_of(state, jnp.asarray(order), data, hyper)
        result = evaluate(np.asarray(logits_of(state.params, test)), dataset.test.labels)
        losses.append(round(result.loss, 7))
        accuracies.append(round(result.accuracy, 6))
        matrix = result.confusion_matrix.tolist()
    return {"test_loss": losses, "test_accuracy": accuracies, "confusion_matrix": matrix}


def penalty_with_biases(params: Any) -> jax.Array:
    """Σ W² over kernels and biases."""
    return sum((jnp.sum(tensor**2) for tensor in jax.tree.leaves(params)), jnp.zeros(()))


def key_of(mistake: Mistake, experiment: str, config: Config) -> str:
    """Name a run in the file."""
    return f"{mistake.name}; {experiment}; {config.model}, λ = {config.l2:g}, seed {config.seed}"


def main(seconds: float, processes: int) -> None:
    """Train what is not in the file yet, for about as long as asked."""
    document: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    if document.get("versions") != versions():
        document = {"runs": {}}  # of other code: a record has one source
    started = time.monotonic()
    missing = [run for run in plan() if key_of(*run) not in document["runs"]]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        futures: dict[Future, tuple[Mistake, str, Config]] = {}
        while missing or futures:
            while missing and len(futures) < processes and time.monotonic() - started < seconds:
                mistake, experiment, config = missing.pop(0)
                future = pool.submit(train_by_name, mistake.name, config)
                futures[future] = (mistake, experiment, config)
            if not futures:
                break
            finished, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in finished:
                mistake, experiment, config = futures.pop(future)
                key = key_of(mistake, experiment, config)
                document["runs"][key] = {
                    "mistake": mistake.name,
                    "experiment": experiment,
                    "config": {
                        name: getattr(config, name) for name in ("hidden", "l2", "epochs", "seed")
                    },
                    **future.result(),
                }
                save(document)
                print(f"{time.monotonic() - started:.0f} s: {key}", flush=True)


def save(document: dict[str, Any]) -> None:
    """Write the file, a run on each line, in the order of the plan."""
    command = "PJRT_NPROC=1 python docs/make/evidence_planted.py"
    about = {"command": command, "machine": machine(), "versions": versions()}
    keys = [key for key in (key_of(*run) for run in plan()) if key in document["runs"]]
    runs = [
        f"{json.dumps(key)}: {json.dumps(document['runs'][key], separators=(',', ':'))}"
        for key in keys
    ]
    text = json.dumps(about)[:-1] + ',\n"runs": {\n' + ",\n".join(runs) + "\n}}\n"
    FILE.write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no run after so long")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, a core each")
    given = parser.parse_args()
    main(given.seconds, given.processes)
