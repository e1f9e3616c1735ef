"""An epoch of a side, what it reports, and what is evaluated after it, explained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.rungs import examples, first_batch
from mnist_fn.shared.parity.backends.stages.implementation import Implementation
from mnist_fn.shared.parity.backends.stages.steps import full_batches, trained
from mnist_fn.shared.parity.bounds import EPOCH_ROUNDING, EPOCH_START_EPS
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.loss import cross_entropy
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.streams import batch_order

Piece = tuple[np.ndarray, np.ndarray]  # a batch's pixels, scaled, and labels
IMAGES = 120  # of the test set


def _ragged(pair: Pair, full: int) -> list[np.ndarray]:
    """The first batches of the first epoch, `full` whole ones and a short one."""
    size = pair.config.batch_size
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))
    order = order[: full * size + size * 3 // 8 + 1]
    return [order[index : index + size] for index in range(0, len(order), size)]


def epoch(side: Implementation, pair: Pair) -> Explanation:
    """Weights after one epoch of two full batches and a short one."""
    cut, backend = _ragged(pair, 2), side.of(pair)
    done, _ = backend.train_epoch(backend.load(pair.start), np.concatenate(cut))
    observed = numpy_program.flat(backend.dump(done).params)
    params = numpy_program.flat(pair.start.params)
    pieces = [examples(pair, batch) for batch in cut]

    def weights_after(chosen: Sequence[Piece], scales: Sequence[float] | None = None) -> Tensors:
        return numpy_program.train(pair.config, params, chosen, scales)

    *full, short = pieces
    x, y = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    ones = [1.0] * len(full)
    forms = [
        Form("the short batch of an epoch's end is dropped", lambda: weights_after(full)),
        Form("batches in the reverse order", lambda: weights_after(pieces[::-1])),
        Form("the first batch again and again", lambda: weights_after(pieces[:1] * len(pieces))),
        Form("the first batch alone", lambda: weights_after(pieces[:1])),
        Form("the first batch is skipped", lambda: weights_after(pieces[1:])),
        Form("the whole epoch as one batch", lambda: weights_after([(x, y)])),
        Form("no step at all", lambda: params),
        Form("a short batch's sum divided by the full batch size",
             lambda: weights_after(pieces, [*ones, len(short[1]) / pair.config.batch_size])),
        Form("each batch twice", lambda: weights_after([p for p in pieces for _ in range(2)])),
    ]  # fmt: skip
    declared = weights_after(pieces)
    chaos = _chaos(pair, params, pieces)
    floor = {n: np.full(t.shape, chaos[n]) for n, t in declared.items()}
    return explain_variants("weights after an epoch", observed, declared, forms, side.dtype, floor)


def _chaos(pair: Pair, params: Tensors, pieces: Sequence[Piece]) -> dict[str, float]:
    """What rounding of the start does to each tensor in an epoch."""
    eps = float(np.finfo(pair.config.dtype).eps)
    rng = np.random.default_rng(0)
    moved = {
        n: t * (1 + EPOCH_START_EPS * eps * rng.choice((-1, 1), t.shape)) for n, t in params.items()
    }
    plain, nudged = (numpy_program.train(pair.config, p, pieces) for p in (params, moved))
    return {
        name: EPOCH_ROUNDING * float(np.abs(plain[name] - nudged[name]).max()) for name in params
    }


def report(side: Implementation, pair: Pair) -> Explanation:
    """Loss and count of correct predictions of an epoch of three full batches and a short one."""
    cut, backend = _ragged(pair, 3), side.of(pair)
    states = trained(backend, backend.load(pair.start), cut)
    weights = [numpy_program.flat(state.params) for state in states]
    _, metrics = backend.train_epoch(backend.load(pair.start), np.concatenate(cut))
    observed = {"loss": np.array([metrics.loss]), "correct": np.array([float(metrics.correct)])}
    reporter = _Told(weights, [examples(pair, batch) for batch in cut], pair.config.l2)
    forms = [Form(text, made) for text, made in reporter.otherwise(pair.config.batch_size).items()]
    return explain_variants("an epoch's report", observed, reporter.sums(), forms, side.dtype)


@dataclass(frozen=True)
class _Told:
    """What an epoch of some full batches and a short one may report."""

    weights: Sequence[Tensors]  # before each batch and after the last
    pieces: Sequence[Piece]
    l2: float

    def sums(self, at: Sequence[int] | None = None, by: float | None = None) -> Tensors:
        """All batches, each with the weights `at` or those before it; sums divided by `by`, or the
        examples.
        """
        at = range(len(self.pieces)) if at is None else at
        parts = [self.one(state, piece) for state, piece in zip(at, self.pieces, strict=True)]
        count = sum(len(losses) for losses, _ in parts)
        return _figures(sum(losses.sum() for losses, _ in parts) / (by or count), parts)

    def one(self, state: int, piece: Piece) -> tuple[np.ndarray, float]:
        """Each example's loss, and how many predictions are right."""
        x, y = piece
        z = numpy_program.logits(self.weights[state], x)
        return cross_entropy(np, z, y), float((z.argmax(axis=1) == y).sum())

    def some(self, chosen: Sequence[int]) -> Tensors:
        """Some batches' only."""
        parts = [self.one(i, self.pieces[i]) for i in chosen]
        return _figures(np.concatenate([losses for losses, _ in parts]).mean(), parts)

    def otherwise(self, size: int) -> dict[str, Callable[[], Tensors]]:
        """Other reports by what they are in words; `size` is a full batch's."""
        parts = [self.one(i, piece) for i, piece in enumerate(self.pieces)]
        means = [losses.mean() for losses, _ in parts]
        squares = [sum((t * t).sum() for t in w.values() if t.ndim > 1) for w in self.weights]
        lengths = [len(losses) for losses, _ in parts]
        extra = self.l2 * np.average(squares[: len(parts)], weights=lengths)
        declared, count, n = self.sums(), sum(lengths), len(parts)

        def summed(chosen: Sequence[tuple[np.ndarray, float]]) -> Tensors:
            return _figures(sum(losses.sum() for losses, _ in chosen) / count, chosen)

        reports = {
            "of the full batches only the first is summed": lambda: summed([parts[0], parts[-1]])
        }
        for k in range(1, n - 1):
            subject = "batch is" if k == 1 else f"{k} batches are"
            reports[f"only the first {subject} summed"] = lambda k=k: summed(parts[:k])
        return {
            **reports,
            "mean of unequal batches' means": lambda: _figures(float(np.mean(means)), parts),
            "the penalty is in the reported loss": lambda: _figures(
                declared["loss"][0] + extra, parts
            ),
            "loss taken after each batch's update": lambda: self.sums(range(1, n + 1)),
            "loss taken after the epoch": lambda: self.sums([n] * n),
            "loss taken at the epoch's start": lambda: self.sums([0] * n),
            "the last batch's alone": lambda: self.some([n - 1]),
            "the first batch's alone": lambda: self.some([0]),
            "the short batch is not counted": lambda: summed(parts[:-1]),
            "sum of the batches' means": lambda: _figures(sum(means), parts),
            "the sum, not the mean": lambda: self.sums(by=1),
            "divided by the full batches' size": lambda: self.sums(by=n * size),
            "none is counted as correct": lambda: {**declared, "correct": np.zeros(1)},
        }


def _figures(loss: float, parts: Sequence[tuple[np.ndarray, float]]) -> Tensors:
    return {"loss": np.array([loss]), "correct": np.array([sum(part[1] for part in parts)])}


def predictions(side: Implementation) -> Explanation:
    """Logits after some steps: of which weights?"""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:IMAGES]
    x = scale_pixels(images, side.dtype).astype(np.float64)
    state = backend.load(pair.start)
    backend.logits(state, images)
    trees = [numpy_program.flat(pair.start.params)]
    observed = np.empty(0)
    for batch in [first_batch(pair), *full_batches(pair, 4)]:
        state, _ = backend.train_epoch(state, batch)
        trees.append(numpy_program.flat(backend.dump(state).params))
        observed = backend.logits(state, images).astype(np.float64)

    def logits_of(params: Tensors) -> Tensors:
        return {"logits": numpy_program.logits(params, x)}

    mean = {n: np.mean([tree[n] for tree in trees[1:]], axis=0) for n in trees[0]}
    weights = {
        "the weights of the start are evaluated": trees[0],
        "the weights of one step before are evaluated": trees[-2],
        "the weights after the first step are evaluated": trees[1],
        "the mean of the weights so far is evaluated": mean,
    }
    for decay in (0.9, 0.99, 0.999):
        text = f"an average of the weights with decay {decay:g} is evaluated"
        weights[text] = _average(trees, decay)
    forms = [Form(text, lambda w=w: logits_of(w)) for text, w in weights.items()]
    return explain_variants(
        "logits after a training", {"logits": observed}, logits_of(trees[-1]), forms, side.dtype
    )


def _average(trees: Sequence[Tensors], decay: float) -> Tensors:
    """Exponential, from the first on."""
    average = trees[0]
    for tree in trees[1:]:
        average = {n: decay * average[n] + (1 - decay) * t for n, t in tree.items()}
    return average
