"""The declared experiment in NumPy, float64: what a diagnosis holds either side to.

Sides are compared with each other first; this says which of them is not as declared, and every
step of it can be done otherwise, to see whether that is what the side does.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.parity.causes.explanation import Tensors
from mnist_fn.shared.parity.causes.loss import log_softmax
from mnist_fn.shared.parity.causes.rules import Rule, simulate
from mnist_fn.shared.state import ParamTree, named_tensors

Activation = Callable[[int, np.ndarray], np.ndarray]  # of a hidden layer's number, from 0
Layer = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # number, x, kernel, bias


def relu(_: int, h: np.ndarray) -> np.ndarray:
    """The declared activation."""
    return np.maximum(h, 0)


def dense(_: int, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The declared layer."""
    return x @ kernel + bias


def flat(tree: ParamTree) -> Tensors:
    """A tree as tensors by name, float64."""
    return {name: tensor.astype(np.float64) for name, tensor in named_tensors(tree)}


def layers(params: Tensors) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of each layer."""
    names = dict.fromkeys(name.partition("/")[0] for name in params)
    return [(params[f"{name}/kernel"], params[f"{name}/bias"]) for name in names]


def hidden_inputs(params: Tensors, x: np.ndarray) -> list[np.ndarray]:
    """What each hidden layer gives before its ReLU."""
    found = []
    for kernel, bias in layers(params)[:-1]:
        h = x @ kernel + bias
        found.append(h)
        x = np.maximum(h, 0)
    return found


def logits(
    params: Tensors,
    x: np.ndarray,
    activation: Activation = relu,
    layer: Layer = dense,
) -> np.ndarray:
    """Logits [n, classes] of scaled pixels [n, pixels]."""
    stack = layers(params)
    for i, (kernel, bias) in enumerate(stack):
        x = layer(i, x, kernel, bias)
        if i + 1 < len(stack):
            x = activation(i, x)
    return x


def gradients(
    params: Tensors,
    x: np.ndarray,
    y: np.ndarray,
    l2: float,
    passes: Callable[[int, np.ndarray], np.ndarray] = lambda _, h: (h > 0).astype(float),
) -> Tensors:
    """Gradient of mean cross-entropy + λ Σ W²; `passes` is the ReLU's derivative by layer."""
    stack, values, before = layers(params), [x], []
    for i, (kernel, bias) in enumerate(stack):
        h = values[-1] @ kernel + bias
        before.append(h)
        values.append(np.maximum(h, 0) if i + 1 < len(stack) else h)
    delta = np.exp(log_softmax(values[-1]))
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    found = {}
    names = list(dict.fromkeys(name.partition("/")[0] for name in params))
    for i in reversed(range(len(stack))):
        found[f"{names[i]}/kernel"] = values[i].T @ delta + 2 * l2 * stack[i][0]
        found[f"{names[i]}/bias"] = delta.sum(axis=0)
        if i:
            delta = (delta @ stack[i][0].T) * passes(i - 1, before[i - 1])
    return {name: found[name] for name in params}


def rule_of(config: Config, params: Tensors) -> Rule:
    """The declared optimizer. The study's penalty is a coupled decay of 2λ."""
    kernels = tuple(name for name in params if name.endswith("kernel"))
    adamw = config.optimizer == "adamw"
    decay = config.weight_decay if adamw else 2 * config.l2
    return Rule(config.optimizer, config.learning_rate, weight_decay=decay, decayed=kernels)


def train(
    config: Config,
    params: Tensors,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    scales: Sequence[float] | None = None,
) -> Tensors:
    """Weights after a step on each batch (pixels, labels), from moments of 0.

    `scales` multiplies the gradient of each batch, decay included.
    """
    rule = rule_of(config, params)
    grads, after = [], []
    for i, (x, y) in enumerate(batches):
        weights = after[-1] if after else params
        own = gradients(weights, x, y, 0.0)
        grads.append({n: (scales[i] if scales else 1.0) * g for n, g in own.items()})
        after.append(simulate(rule, grads, params, [*after, weights])[-1])
    return after[-1] if after else params
