"""How a control run of a JAX program rounds: sums and library functions at random."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

# What two programs may round in different ways; a product or a sum of two numbers is the same
# everywhere. A loop's own operations aren't reached: what it gives is moved.
ROUNDED = {
    "conv_general_dilated", "cos", "cumlogsumexp", "cumprod", "cumsum", "dot_general", "erf",
    "erf_inv", "erfc", "exp", "exp2", "expm1", "integer_pow", "log", "log1p", "logistic", "pow",
    "reduce_prod", "reduce_sum", "reduce_window_sum", "rsqrt", "scan", "sin", "tan", "tanh",
    "while",
}  # fmt: skip
CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # the parameter that holds a called program
CALLS = {
    "checkpoint", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "jit", "pjit", "remat", "remat2",
}  # fmt: skip
DRAWS = 65_537  # ulps that are drawn; larger arrays take them in turn


def rounded_at_random(function: Callable[..., Any], ulps: jax.Array, *args: Any) -> Any:
    """A function's outputs where each entry of each rounded result is moved by some ulps.

    Args:
        function: of arrays in any nesting, as are its outputs.
        ulps: by how many, int64 [DRAWS], as `random_ulps` draws them.
        args: the function's.
    """
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    leaves = _Rounding(ulps).evaluate(program.jaxpr, program.consts, jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


class _Rounding:
    """Evaluates a traced program operation by operation."""

    def __init__(self, ulps: jax.Array) -> None:
        self._ulps, self._first = ulps, 0

    def evaluate(self, program: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """The outputs of a jaxpr."""
        values = dict(zip([*program.constvars, *program.invars], [*consts, *inputs], strict=True))

        def read(variable: Any) -> Any:
            return variable.val if isinstance(variable, Literal) else values[variable]

        for equation in program.eqns:
            outputs = self._apply(equation, list(map(read, equation.invars)))
            if equation.primitive.name in ROUNDED:
                outputs = map(self._moved, outputs)
            values.update(zip(equation.outvars, outputs, strict=True))
        return list(map(read, program.outvars))

    def _apply(self, equation: Any, inputs: list[Any]) -> Sequence[Any]:
        if equation.primitive.name in CALLS:
            inner = next(equation.params[key] for key in CALLED if key in equation.params)
            consts = getattr(inner, "consts", ())  # a checkpoint's program has none
            return self.evaluate(getattr(inner, "jaxpr", inner), consts, inputs)
        outputs = equation.primitive.bind(*inputs, **equation.params)
        return outputs if equation.primitive.multiple_results else [outputs]

    def _moved(self, array: Any) -> Any:
        if not jnp.issubdtype(array.dtype, jnp.floating) or not array.size:
            return array
        self._first = (self._first + array.size) % DRAWS
        drawn = jnp.resize(jnp.roll(self._ulps, self._first), array.shape).astype(array.dtype)
        return array * (1 + drawn * jnp.finfo(array.dtype).eps)
