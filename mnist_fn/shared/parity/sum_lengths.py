"""How many terms the sums of a model have, read from what its modules show; see `bounds`.

A convolution of 3 × 3 × 512 sums 4,608 products, LayerNorm over 16 units 16, BatchNorm a batch's
positions. Backward a kernel is summed over its outputs, and its gradient over batch and positions.
Functions without a module are not counted: what they sum over is short beside the factor of 16.
"""

from collections.abc import Iterable

import numpy as np

from mnist_fn.shared.parity.param_map import module_of
from mnist_fn.shared.parity.program import Batch, Call, Trace, Weights


class SumLengths:
    """Of one program in one state.

    Args:
        trace: a pass.
        weights: what it was made with.
        batch: and on what.
        data_format: "channels_first" where kernels are [out, in, …], "channels_last" where they
            are […, in, out].
    """

    def __init__(self, trace: Trace, weights: Weights, batch: Batch, data_format: str) -> None:
        self._params = weights.params.values()
        self._own: dict[str, list[np.ndarray]] = {}
        for name, tensor in weights.params.items():
            self._own.setdefault(module_of(name), []).append(tensor)
        self._out, self._in = (0, 1) if data_format == "channels_first" else (-1, -2)
        self._calls = sorted(trace.calls, key=lambda call: call.ended)
        self._rows, self._classes = batch.examples, 1
        for output in trace.outputs:
            classes = output.shape[-1] if output.ndim else 1
            self._classes = max(self._classes, classes)
            self._rows = max(self._rows, output.size // max(1, classes))

    def upto(self, tick: int) -> int:
        """The longest sum on the way to a moment of the pass."""
        return _longest(self._forward(call) for call in self._calls if call.ended <= tick)

    @property
    def outputs(self) -> int:
        """The longest sum on the way to the outputs; without modules by the kernels alone."""
        if self._calls:
            return _longest(map(self._forward, self._calls))
        return self._longest_fan(self._out)

    @property
    def loss(self) -> int:
        """And to the loss: a softmax, then a mean over all rows."""
        return max(self.outputs, self._rows, self._classes)

    @property
    def all(self) -> int:
        """And to the gradients."""
        positions = _longest(map(self._positions, self._calls))
        return max(self.loss, self._longest_fan(self._in), positions)

    def _forward(self, call: Call) -> int:
        """Terms of a module's own sums."""
        params = self._own.get(call.module, [])
        if "Embed" in call.kind or not call.inputs:
            return 1
        kernels = [tensor for tensor in params if tensor.ndim > 1]
        if kernels:
            return sum(self._fan(kernel, self._out) for kernel in kernels)
        if params and "Batch" not in call.kind:
            groups = call.settings.get("num_groups", 0)
            return (
                call.inputs[0].size // (len(call.inputs[0]) * groups) if groups else params[0].size
            )
        if params:
            return call.inputs[0].size // params[0].size
        return max(1, call.inputs[0].size // max(1, call.outputs[0].size)) if call.outputs else 1

    def _positions(self, call: Call) -> int:
        """Terms of its parameters' gradients: rows, or a batch's windows."""
        params = self._own.get(call.module, [])
        if not params or not call.outputs:
            return 1
        width = params[0].size if params[0].ndim < 2 else params[0].shape[self._out]
        return max(1, call.outputs[0].size // max(1, width))

    def _longest_fan(self, axis: int) -> int:
        return _longest(self._fan(tensor, axis) for tensor in self._params)

    def _fan(self, kernel: np.ndarray, axis: int) -> int:
        return kernel.size // max(1, kernel.shape[axis]) if kernel.ndim > 1 else 1


def _longest(terms: Iterable[int]) -> int:
    return max(terms, default=1)
