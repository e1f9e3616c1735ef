"""A side's cross-entropy and its penalty, explained."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.rungs import examples, first_batch
from mnist_fn.shared.parity.backends.stages.implementation import Implementation
from mnist_fn.shared.parity.backends.states import scaled_by_layer
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.loss import explain_loss
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.state import StateTree


def _loss_states(pair: Pair) -> list[tuple[StateTree, np.ndarray]]:
    start, batch = pair.start, first_batch(pair)
    short = batch[: len(batch) * 3 // 8 + 1]
    last = len(start.params) - 1
    states = [(start, batch), (start, short)]
    for factor in (3, 10):
        scaled = scaled_by_layer(start, lambda _, f=factor: f)
        states += [(scaled, batch), (scaled, short[: len(short) // 2 + 1])]
    for factor in (30, 1000):
        states.append((scaled_by_layer(start, lambda i, f=factor: f if i == last else 1), batch))
    return states


def losses(side: Implementation) -> Explanation:
    """The cross-entropy of the side's own logits."""
    observed, batches = [], []
    for state, batch in _loss_states(side.pair):
        x, y = examples(side.pair, batch)
        batches.append((numpy_program.logits(numpy_program.flat(state.params), x), y))
        observed.append(side.backend.losses(side.backend.load(state), batch)[0])
    return explain_loss(batches, observed, dtype=side.dtype, subject="cross-entropy")


def penalty(side: Implementation) -> Explanation:
    """What the objective adds to the cross-entropy."""
    pair, l2 = side.pair, side.pair.config.l2
    states = _loss_states(pair)[:6]
    objectives = [side.backend.losses(side.backend.load(state), batch) for state, batch in states]
    observed = np.array([objective - ce for ce, objective in objectives])
    trees = [numpy_program.flat(state.params) for state, _ in states]
    squares = np.array([_squares(tree) for tree in trees])
    declared = {"penalty": l2 * squares}
    sizes = np.array([len(batch) for _, batch in states])

    def penalties(penalty_of: Callable[[Tensors], float]) -> Callable[[], Tensors]:
        return lambda: {"penalty": l2 * np.array([penalty_of(tree) for tree in trees])}

    forms = [Form(text, penalties(penalty_of)) for text, penalty_of in _penalties(trees[0])]
    forms += [
        Form("penalty divided by the batch size", lambda: {"penalty": l2 * squares / sizes}),
        Form("penalty times the batch size", lambda: {"penalty": l2 * squares * sizes}),
    ]
    if l2:
        number = Form(
            "penalty × {}", lambda c: {"penalty": c * l2 * squares}, (0.0, 0.5, 2.0), "linear"
        )
    else:
        number = Form("a penalty of {} Σ W²", lambda c: {"penalty": c * squares}, (1e-4,), "linear")
    # it is the difference of two losses, of which the cross-entropy may be the larger
    size = np.maximum(1, np.maximum(np.abs(observed), [abs(ce) for ce, _ in objectives]))
    floor = {"penalty": pair.tolerance * size}
    return explain_variants(
        "penalty", {"penalty": observed}, declared, [*forms, number], side.dtype, floor
    )


def _penalties(tree: Tensors) -> Iterator[tuple[str, Callable[[Tensors], float]]]:
    """Other penalties than Σ W² over the kernels of a network like this one."""
    kernels, vectors = _names(tree, True), _names(tree, False)
    yield "penalty on the biases too", lambda t: _squares(t, [*t])
    yield "penalty on the biases alone", lambda t: _squares(t, vectors)
    yield "λ Σ |W| in place of λ Σ W²", lambda t: sum(float(np.abs(t[n]).sum()) for n in kernels)
    yield "the root of Σ W²", lambda t: np.sqrt(_squares(t))
    yield (
        "each kernel's norm, not its square",
        lambda t: sum(np.sqrt(_squares(t, [name])) for name in kernels),
    )
    yield (
        "mean for sum of the squares",
        lambda t: sum(_squares(t, [name]) / t[name].size for name in kernels),
    )
    if len(kernels) > 1:
        for name in kernels:
            names = [kernel for kernel in kernels if kernel != name]
            yield f"no penalty on {name}", lambda t, chosen=names: _squares(t, chosen)
    if len(kernels) > 2:
        for name in kernels:
            yield f"penalty on {name} alone", lambda t, chosen=name: _squares(t, [chosen])


def _names(tree: Tensors, kernels: bool) -> list[str]:
    return [name for name, tensor in tree.items() if (tensor.ndim > 1) == kernels]


def _squares(tree: Tensors, names: Sequence[str] | None = None) -> float:
    """Σ W² over the named tensors, or the kernels."""
    chosen = _names(tree, True) if names is None else names
    return float(sum((tree[name] ** 2).sum() for name in chosen))
