"""A side's steps, epochs and reports, explained from the declared experiment."""

import re
from collections.abc import Sequence

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.parity import reference
from mnist_fn.shared.parity.causes.explanation import Explanation, Tensors
from mnist_fn.shared.parity.causes.loss import cross_entropy
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.parity.causes.update import explain_update
from mnist_fn.shared.parity.checks import Pair, Rung
from mnist_fn.shared.parity.probes import Probe
from mnist_fn.shared.parity.rungs import examples, first_batch, middle
from mnist_fn.shared.parity.stages import Side, reference_gradients
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.streams import batch_order

STEPS = 6
BEFORE, AFTER = 3, 3  # steps around the one that parts


def steps(side: Side, pair: Pair) -> Explanation:
    """The first steps of a training, each on a batch of its own."""
    batches = _batches(pair, STEPS)
    return _explained(side, pair, pair.start, batches, f"weights after {STEPS} steps")


def resumed(side: Side, pair: Pair) -> Explanation:
    """Steps from a state that has moments and a count."""
    grads = reference_gradients(pair, pair.start, _batches(pair, 2)[1])
    state = middle(grads, pair.start)
    return _explained(side, pair, state, _batches(pair, 3), "weights after 3 steps")


def probed(side: Side, probe: Probe) -> Explanation:
    """Steps from the weights of a probe."""
    batches = [probe.batch, *_batches(side.pair, 3)[1:]]
    return _explained(side, side.pair, probe.state, batches, "weights after 3 steps")


def late(side: Side, step: int) -> Explanation:
    """Steps around the one at which a trajectory parts."""
    pair, first = side.pair, max(0, step - 1 - BEFORE)
    backend = side.of(pair)
    batches = _batches(pair, first + BEFORE + AFTER)
    state = backend.load(pair.start)
    for batch in batches[:first]:
        state, _ = backend.train_epoch(state, batch)
    found = _trained(backend, state, batches[first:])
    return _update(side, pair, found, batches[first:], f"weights around step {step}")


def located(failed: Rung) -> int:
    """The step at which the trajectory parted; 0 if it was not located."""
    found = re.match(r"step (\d+):", failed.worst.what)
    return int(found[1]) if found else 0


def _batches(pair: Pair, count: int) -> list[np.ndarray]:
    """Full batches in the order of a training, one epoch after another."""
    n, size = len(pair.dataset.train), pair.config.batch_size
    found: list[np.ndarray] = []
    epoch = 1
    while len(found) < count:
        order = batch_order(pair.config.seed, epoch, n)
        full = [order[at : at + size] for at in range(0, n - size + 1, size)] or [order]
        found, epoch = found + full, epoch + 1
    return found[:count]


def _trained(backend: Backend, state: object, batches: Sequence[np.ndarray]) -> list[StateTree]:
    """The state before the first batch and after each; never loaded anew in between."""
    found = [backend.dump(state)]
    for batch in batches:
        state, _ = backend.train_epoch(state, batch)
        found.append(backend.dump(state))
    return found


def _explained(
    side: Side, pair: Pair, start: StateTree, batches: Sequence[np.ndarray], of: str
) -> Explanation:
    backend = side.of(pair)
    found = _trained(backend, backend.load(start), batches)
    found[0] = start
    return _update(side, pair, found, batches, of, backend)


def _update(
    side: Side,
    pair: Pair,
    found: Sequence[StateTree],
    batches: Sequence[np.ndarray],
    of: str,
    backend: Backend | None = None,
) -> Explanation:
    """The side's own gradients at its own weights; the rule adds the penalty's part itself."""
    backend = backend or side.of(pair)
    grads: list[Tensors] = []
    for state, batch in zip(found, batches, strict=False):
        own = reference.flat(backend.gradients(backend.load(state), batch))
        weights = reference.flat(state.params)
        grads.append(
            {n: g - 2 * pair.config.l2 * weights[n] if g.ndim > 1 else g for n, g in own.items()}
        )
    before = reference.flat(found[0].params)
    after = [reference.flat(state.params) for state in found[1:]]
    moments = {"mu": reference.flat(found[0].mu), "nu": reference.flat(found[0].nu)}
    rule = reference.rule_of(pair.config, before)
    return explain_update(rule, grads, before, after, moments, found[0].step, side.dtype, of)


def epoch(side: Side, pair: Pair) -> Explanation:
    """Weights after one epoch of two full batches and a short one."""
    size, backend = pair.config.batch_size, side.of(pair)
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))[
        : 2 * size + size * 3 // 8 + 1
    ]
    cut = [order[at : at + size] for at in range(0, len(order), size)]
    done, _ = backend.train_epoch(backend.load(pair.start), order)
    seen = reference.flat(backend.dump(done).params)
    params = reference.flat(pair.start.params)
    pieces = [examples(pair, batch) for batch in cut]

    def made(chosen: Sequence[int], scales: Sequence[float] | None = None) -> Tensors:
        return reference.train(pair.config, params, [pieces[i] for i in chosen], scales)

    every = list(range(len(cut)))
    whole = [examples(pair, order)]
    share = len(cut[-1]) / size
    forms = [
        Form("the short batch of an epoch's end is dropped", lambda: made(every[:-1])),
        Form("batches in the reverse order", lambda: made(every[::-1])),
        Form("the first batch again and again", lambda: made([0] * len(every))),
        Form("the first batch alone", lambda: made([0])),
        Form("the first batch is skipped", lambda: made(every[1:])),
        Form("the whole epoch as one batch",
             lambda: reference.train(pair.config, params, whole)),
        Form("no step at all", lambda: params),
        Form("a short batch's sum divided by the full batch size",
             lambda: made(every, [1.0] * (len(every) - 1) + [share])),
        Form("each batch twice", lambda: made([i for i in every for _ in range(2)])),
    ]  # fmt: skip
    declared = made(every)
    # a gradient that is nothing but rounding makes steps of size lr of it
    floor = {n: np.full(t.shape, _chaos(pair, params, pieces, n)) for n, t in declared.items()}
    return explain_variants("weights after an epoch", seen, declared, forms, (), side.dtype, floor)


def _chaos(pair: Pair, params: Tensors, pieces: Sequence, name: str) -> float:
    """What rounding of the start does to a tensor in an epoch, times ten; at least some ulps."""
    eps = float(np.finfo(pair.config.dtype).eps)
    rng = np.random.default_rng(0)
    moved = {n: t * (1 + 4 * eps * rng.choice((-1, 1), t.shape)) for n, t in params.items()}
    one, two = (reference.train(pair.config, p, pieces) for p in (params, moved))
    return 10 * float(np.abs(one[name] - two[name]).max())


def report(side: Side, pair: Pair) -> Explanation:
    """Loss and count of correct predictions of an epoch of a full batch and a short one."""
    size, backend = pair.config.batch_size, side.of(pair)
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))[: size + size * 3 // 8 + 1]
    cut = [order[:size], order[size:]]
    states = _trained(backend, backend.load(pair.start), [order[:size], order[size:]])
    weights = [reference.flat(state.params) for state in states]
    _, metrics = backend.train_epoch(backend.load(pair.start), order)
    seen = {"loss": np.array([metrics.loss]), "correct": np.array([float(metrics.correct)])}
    n = len(order)

    def one(state: int, batch: int) -> tuple[np.ndarray, float]:
        x, y = examples(pair, cut[batch])
        z = reference.logits(weights[state], x)
        return cross_entropy(z, y), float((z.argmax(axis=1) == y).sum())

    def made(pairs: Sequence[tuple[int, int]], of_means: bool = False, by: float = n) -> Tensors:
        parts = [one(*p) for p in pairs]
        loss = np.mean([p[0].mean() for p in parts]) if of_means else sum(
            p[0].sum() for p in parts) / by  # fmt: skip
        return {"loss": np.array([loss]), "correct": np.array([sum(p[1] for p in parts)])}

    def penalized(tree: Tensors) -> float:
        return pair.config.l2 * sum(float((t * t).sum()) for t in tree.values() if t.ndim > 1)

    before = [(0, 0), (1, 1)]
    declared = made(before)
    extra = sum(penalized(weights[i]) * len(cut[i]) for i in range(2)) / n
    forms = [
        Form("mean of unequal batches' means", lambda: made(before, True)),
        Form("the penalty is in the reported loss",
             lambda: {**declared, "loss": declared["loss"] + extra}),
        Form("loss taken after each batch's update", lambda: made([(1, 0), (2, 1)])),
        Form("loss taken after the epoch", lambda: made([(2, 0), (2, 1)])),
        Form("loss taken at the epoch's start", lambda: made([(0, 0), (0, 1)])),
        Form("the last batch's alone", lambda: made([(1, 1)], by=len(cut[1]))),
        Form("the first batch's alone", lambda: made([(0, 0)], by=len(cut[0]))),
        Form("the short batch is not counted", lambda: made([(0, 0)])),
        Form("sum of the batches' means", lambda: {
            **declared, "loss": 2 * made(before, True)["loss"]}),
        Form("the sum, not the mean", lambda: made(before, by=1)),
        Form("divided by the full batches' size", lambda: made(before, by=2 * size)),
        Form("none is counted as correct", lambda: {**declared, "correct": np.zeros(1)}),
    ]  # fmt: skip
    return explain_variants("an epoch's report", seen, declared, forms, (), side.dtype)


def predictions(side: Side) -> Explanation:
    """Logits after some steps: of which weights?"""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:120]
    x = scale_pixels(images, side.dtype).astype(np.float64)
    state = backend.load(pair.start)
    backend.logits(state, images)
    trees = [reference.flat(pair.start.params)]
    seen = np.empty(0)
    for batch in [first_batch(pair), *_batches(pair, 4)]:
        state, _ = backend.train_epoch(state, batch)
        trees.append(reference.flat(backend.dump(state).params))
        seen = backend.logits(state, images).astype(np.float64)
    mean = {n: np.mean([tree[n] for tree in trees[1:]], axis=0) for n in trees[0]}
    forms = [
        Form("the weights of the start are evaluated", lambda: _logits(trees[0], x)),
        Form("the weights of one step before are evaluated", lambda: _logits(trees[-2], x)),
        Form("the weights after the first step are evaluated", lambda: _logits(trees[1], x)),
        Form("the mean of the weights so far is evaluated", lambda: _logits(mean, x)),
    ]
    for decay in (0.9, 0.99, 0.999):
        ema = trees[0]
        for tree in trees[1:]:
            ema = {n: decay * ema[n] + (1 - decay) * t for n, t in tree.items()}
        text = f"an average of the weights with decay {decay:g} is evaluated"
        forms.append(Form(text, lambda e=ema: _logits(e, x)))
    return explain_variants("logits after a training", {"logits": seen}, _logits(trees[-1], x),
                            forms, (), side.dtype)  # fmt: skip


def _logits(params: Tensors, x: np.ndarray) -> Tensors:
    return {"logits": reference.logits(params, x)}
