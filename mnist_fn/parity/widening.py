"""While a model is traced, its casts to float32 and its tables in NumPy become float64."""

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

CREATORS = ("arange", "array", "asarray", "full", "linspace", "ones", "zeros")
LOCK = threading.RLock()  # what is replaced is the process's: one thread at a time
LIBRARIES = {"flax", "jax", "jaxlib", "numpy", "optax", "scipy"}  # have their own use for NumPy


class Table(np.ndarray):
    """An array that stays float64 where it is cast to float32, and so does what is made of it."""

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """The array in a dtype, in float64 for float32."""
        return super().astype(_wide(dtype), *args, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _table(super().__array_function__(func, types, args, kwargs))


@contextlib.contextmanager
def widened() -> Iterator[None]:
    """Within it a model's casts to float32, and its tables in NumPy, are float64."""
    with LOCK, contextlib.ExitStack() as stack:
        _replace(stack, jnp, "float32", jnp.float64)
        for name in CREATORS:
            _replace(stack, np, name, _creator(getattr(np, name)))
        yield


def narrow_modules(jaxpr: Any) -> Iterator[str]:
    """Yield the scope of each operation that gives float32, of those within others too."""
    for equation in jaxpr.eqns:
        inner = []
        for value in equation.params.values():
            for entry in value if isinstance(value, tuple | list) else [value]:
                part = getattr(entry, "jaxpr", entry)
                if hasattr(part, "eqns"):
                    inner.append(part)
                    yield from narrow_modules(part)
        if not inner and any(str(v.aval.dtype) == "float32" for v in equation.outvars):
            scope = str(equation.source_info.name_stack)
            yield re.sub(r"\w+\(([^()]*)\)", r"\1", scope)  # of its gradient: transpose(jvp(a))


def _replace(stack: contextlib.ExitStack, module: Any, name: str, value: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)


def _creator(create: Callable[..., Any]) -> Callable[..., Any]:
    thread = threading.get_ident()

    def made(*args: Any, **kwargs: Any) -> Any:
        caller = str(sys._getframe(1).f_globals.get("__name__", ""))
        if threading.get_ident() != thread or caller.partition(".")[0] in LIBRARIES:
            return create(*args, **kwargs)
        args = tuple(map(_wide, args))
        return _table(create(*args, **{key: _wide(value) for key, value in kwargs.items()}))

    return made


def _wide(value: Any) -> Any:
    """float64 for float32's dtype, however it is said; anything else as it is."""
    single = value is np.float32 or (
        isinstance(value, str | np.dtype) and value in ("float32", "f4")
    )
    return np.float64 if single else value


def _table(value: Any) -> Any:
    return value.view(Table) if type(value) is np.ndarray and value.dtype.kind in "iuf" else value
