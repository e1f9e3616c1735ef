"""The ladder: two backends in, a verdict per rung out.

Each rung rests on those below it, so the first that fails says where a port goes wrong:
inputs, logits, loss, gradients, one optimizer step, trajectory, predictions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mnist_fn.shared.backend import Backend, MakeBackend
from mnist_fn.shared.compare import Difference, compare, compare_trees
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree, StateTree, zeros_like
from mnist_fn.shared.streams import batch_order, initial_state

RUNGS = ("inputs", "logits", "loss", "gradients", "step", "trajectory", "predictions")

# 1e-13 in float64, 5.4e-5 in float32. Two orders of summing n products differ by at most
# 2·n·eps of the largest partial sum, and by about sqrt(n)·eps; the longest sum here has 784.
TOLERANCE_IN_EPS = 450
PROBE_EXAMPLES = 1000
KINK = "at a ReLU's kink"


@dataclass(frozen=True)
class Check:
    """One comparison of a rung with the bound it is held to."""

    what: str
    difference: Difference
    tolerance: float
    measure: str  # which figure of the difference the bound is on: "absolute" or "relative"
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bound; NaN never is."""
        return getattr(self.difference, self.measure) <= self.tolerance


@dataclass(frozen=True)
class Rung:
    """A rung's checks, the worst of which speaks for it."""

    name: str
    checks: list[Check] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether every check is within its bound, and there is one."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def worst(self) -> Check:
        """The first check that fails, else the one nearest to its bound."""
        for check in self.checks:
            if not check.passed:
                return check
        return max(self.checks, key=_share_of_bound)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        worst = self.worst
        return {
            "rung": self.name,
            "passed": self.passed,
            "checks": len(self.checks),
            "worst": {
                "what": worst.what,
                **worst.difference.to_dict(),
                "tolerance": worst.tolerance,
                "measure": worst.measure,
                "reason": worst.reason,
            },
        }


@dataclass(frozen=True)
class Pair:
    """Two backends' makers and one experiment."""

    left: MakeBackend
    right: MakeBackend
    config: Config
    dataset: Dataset
    devices: tuple[str, str] = ("cpu", "cpu")

    def make(self, config: Config | None = None, dataset: Dataset | None = None) -> list[Backend]:
        """Both backends, for another config or dataset if one is given."""
        config, dataset = config or self.config, dataset or self.dataset
        makers = zip((self.left, self.right), self.devices, strict=True)
        return [make(config, dataset, device) for make, device in makers]

    @property
    def tolerance(self) -> float:
        """The bound on sums, relative to a tensor's largest entry."""
        return TOLERANCE_IN_EPS * float(np.finfo(self.config.dtype).eps)


def climb(pair: Pair, rungs: tuple[str, ...] = RUNGS[:5]) -> Iterator[Rung]:
    """The rungs from `inputs` to `step`, in turn; ends after the first that fails.

    A backend that raises fails its rung with what it said.
    """
    backends = pair.make()
    start = initial_state(pair.config, pair.dataset.pixels, pair.dataset.classes)
    steps: dict[str, Callable[[], list[Check]]] = {
        "inputs": lambda: _inputs(pair, backends, start),
        "logits": lambda: _logits(pair, backends, start),
        "loss": lambda: _loss(pair, backends, start),
        "gradients": lambda: _gradients(pair, backends, start),
        "step": lambda: _step(pair, backends, start),
    }
    for name in rungs:
        rung = run_rung(name, steps[name])
        yield rung
        if not rung.passed:
            return


def run_rung(name: str, checks: Callable[[], list[Check]]) -> Rung:
    """A rung from its checks; an error inside a backend is a difference without bound."""
    try:
        return Rung(name, checks())
    except InputError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
        failed = Difference(text, np.nan, np.nan, np.inf, np.inf, np.inf)
        return Rung(name, [Check(f"{name} raised", failed, 0.0, "absolute", "must not raise")])


def bitwise(what: str, differences: list[Difference]) -> list[Check]:
    """Checks that must be met to the bit."""
    return [Check(f"{what} {d.where}", d, 0.0, "absolute", "equal to the bit") for d in differences]


def _inputs(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Weights, pixels, labels and batch order as each backend has them, against the shared ones."""
    checks = []
    for backend in backends:
        dumped = backend.dump(backend.load(start))
        for kind, tree in start.trees().items():
            found = compare_trees(tree, dumped.trees()[kind], f"{kind}/")
            checks += bitwise(f"{backend.name} initial", found)
    few = replace(
        pair.dataset,
        train=pair.dataset.train.first(PROBE_EXAMPLES),
        test=pair.dataset.test.first(PROBE_EXAMPLES),
    )
    linear = pair.config.replace(hidden=(), batch_size=min(pair.config.batch_size, len(few.train)))
    for backend in pair.make(linear, few):
        checks += _pixels(backend, linear, few) + _labels_in_order(backend, linear, few)
    return checks


def _pixels(backend: Backend, config: Config, dataset: Dataset) -> list[Check]:
    """A linear model whose kernel has a single 1 for each logit hands the pixels back."""
    state = _zero_state(config, dataset)
    middle = dataset.pixels // 2 + np.arange(dataset.classes)
    state.params["layer1"]["kernel"][middle, np.arange(dataset.classes)] = 1
    read = backend.logits(backend.load(state), dataset.test.images)
    true = scale_pixels(dataset.test.images, config.dtype)[:, middle]
    return bitwise(backend.name, [compare("pixels", true, read)])


def _labels_in_order(backend: Backend, config: Config, dataset: Dataset) -> list[Check]:
    """A model that always says 0 is right just on the zeros: which examples were trained on?"""
    zero = _zero_state(config, dataset)
    zero.params["layer1"]["bias"][0] = 1
    # as many zeros as others, in turn, so that a shift by one is seen
    labels = dataset.train.labels
    zeros, others = np.nonzero(labels == 0)[0][:12], np.nonzero(labels != 0)[0][:12]
    found = [
        backend.train_epoch(backend.load(zero), np.array([i], np.int32))[1].correct
        for pair in zip(zeros, others, strict=True)
        for i in pair
    ]
    true = np.tile([1.0, 0.0], 12)
    return bitwise(backend.name, [compare("examples by order", true, np.array(found, float))])


def _zero_state(config: Config, dataset: Dataset) -> StateTree:
    start = initial_state(config, dataset.pixels, dataset.classes)
    return StateTree(zeros_like(start.params), start.mu, start.nu, 0)


def _logits(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    images = pair.dataset.test.images
    left, right = (backend.logits(backend.load(start), images) for backend in backends)
    return [_sums(pair, "logits of the test set", compare("logits", left, right))]


def _loss(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Of a full and a short batch, and as an epoch of the short one alone reports it."""
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))
    full, short = order[: pair.config.batch_size], order[: pair.config.batch_size * 3 // 8 + 1]
    seen = [
        [
            *backend.losses(backend.load(start), full),
            *backend.losses(backend.load(start), short),
            *_reported(backend, start, short),
        ]
        for backend in backends
    ]
    names = ("cross-entropy", "objective", "cross-entropy of a short batch",
             "objective of a short batch", "loss of an epoch of one short batch",
             "its examples")  # fmt: skip
    return _compare_losses(pair, names, seen)


def _reported(backend: Backend, start: StateTree, order: np.ndarray) -> list[float]:
    _, metrics = backend.train_epoch(backend.load(start), order)
    return [metrics.loss, float(metrics.count)]


def _compare_losses(pair: Pair, names: tuple[str, ...], seen: list[list[float]]) -> list[Check]:
    checks = []
    for name, a, b in zip(names, *seen, strict=True):
        dtype = np.float64 if name == "its examples" else pair.config.dtype
        checks.append(_sums(pair, name, compare(name, np.asarray(a, dtype), np.asarray(b, dtype))))
    return checks


def _gradients(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Of each named tensor, at the start and where a unit's input is exactly 0."""
    batch = batch_order(pair.config.seed, 1, len(pair.dataset.train))[: pair.config.batch_size]
    checks = []
    for what, state in (("gradient of", start), (f"gradient {KINK} of", _at_kink(start))):
        left, right = (backend.gradients(backend.load(state), batch) for backend in backends)
        checks += [_sums(pair, f"{what} {d.where}", d) for d in compare_trees(left, right)]
    return checks


def _at_kink(start: StateTree) -> StateTree:
    """The first unit of each hidden layer gets no input: its ReLU stands at exactly 0."""
    params = {
        layer: {kind: tensor.copy() for kind, tensor in tensors.items()}
        for layer, tensors in start.params.items()
    }
    for layer in list(params)[:-1]:
        params[layer]["kernel"][:, 0] = 0
        params[layer]["bias"][0] = 0
    return replace(start, params=params)


def _step(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """One optimizer step from the start, and one from the middle of a training."""
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))
    size = pair.config.batch_size
    batch, other = order[:size], order[size : 2 * size]
    grads = [backend.gradients(backend.load(start), batch) for backend in backends]
    slips = {d.where.split("[")[0]: d.absolute for d in compare_trees(grads[0], grads[1])}
    middle = _middle(backends[0].gradients(backends[0].load(start), other), start)
    ragged = order[: size + size * 3 // 8 + 1]
    checks = _compare_losses(
        pair,
        ("loss of an epoch that ends in a short batch", "its examples"),
        [_reported(backend, start, ragged) for backend in backends],
    )
    for what, state in (("first step", start), ("step 1001", middle)):
        left, right = (
            backend.dump(backend.train_epoch(backend.load(state), batch)[0]) for backend in backends
        )
        steps = compare("steps taken", np.asarray(float(left.step)), np.asarray(float(right.step)))
        checks += bitwise(what, [steps])
        for kind in ("mu", "nu", "params"):
            for d in compare_trees(left.trees()[kind], right.trees()[kind], f"{kind}/"):
                name = d.where.split("[")[0].removeprefix("params/")
                amplified = pair.config.learning_rate * slips.get(name, 0.0) / 1e-8
                bound = pair.tolerance * d.absolute / d.relative if d.relative else 0.0
                if kind == "params" and state is start and amplified > bound:
                    checks.append(Check(f"{what}: {d.where}", d, amplified, "absolute",
                                  "lr/ε times the gradients' own difference: at first Adam "
                                  "divides g by |g| + ε"))  # fmt: skip
                else:
                    checks.append(_sums(pair, f"{what}: {d.where}", d))
    return checks


def _middle(grads: ParamTree, start: StateTree) -> StateTree:
    """Moments as after many steps, and a step count that the bias correction feels."""
    mu = {k: {n: 0.1 * g for n, g in tensors.items()} for k, tensors in grads.items()}
    nu = {k: {n: g * g + np.asarray(1e-6, g.dtype) for n, g in t.items()} for k, t in grads.items()}
    return StateTree(start.params, mu, nu, step=1000)


def _sums(pair: Pair, what: str, difference: Difference) -> Check:
    return Check(what, difference, pair.tolerance, "relative",
                 f"sums in another order: {TOLERANCE_IN_EPS} eps of the largest entry")  # fmt: skip


def _share_of_bound(check: Check) -> float:
    value = getattr(check.difference, check.measure)
    return value / check.tolerance if check.tolerance else value
