"""Stands between a model and torch's functions while a program is run.

Dropout is off and its rates are kept; other draws are kept too, for `TorchProgram` to see whether
they change anything. What is made without a dtype gets the program's, and so does a cast to
float32: in float64 a model computes in float64 everywhere. One function may be replaced, to see
whether that is what a port does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode

from mnist_fn.shared.parity.program import Variant

DRAWS = {
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal",
    "bernoulli", "bernoulli_", "multinomial", "normal_", "uniform_", "poisson", "rrelu",
    "gumbel_softmax", "exponential_", "random_", "fractional_max_pool2d_with_indices",
}  # fmt: skip
DROPOUTS = {
    "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
    "feature_dropout", "feature_alpha_dropout",
}  # fmt: skip
FROM_NUMPY = {"tensor", "as_tensor", "from_numpy"}  # whose dtype is an array's


@dataclass(frozen=True)
class Site:
    """One call of a function that ports get wrong."""

    index: int
    function: str
    within: str  # the module that calls it, "" for the model itself
    tick: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Guard(TorchFunctionMode):
    """See the module.

    Args:
        name: of the program, for errors.
        dtype: that it computes in.
        variant: the one function that is replaced, if any.
        substitute: what to compute in its place.
        keep_sites: whether calls are kept, with their arguments.
    """

    def __init__(
        self,
        name: str,
        dtype: torch.dtype,
        variant: Variant | None = None,
        substitute: Callable[[Variant], Callable[..., Any]] | None = None,
        keep_sites: bool = True,
    ) -> None:
        super().__init__()
        self._name, self._dtype, self._variant, self._substitute = name, dtype, variant, substitute
        self._keep_sites = keep_sites
        self._clock = 0
        self.within: list[str] = []
        self.sites: list[Site] = []
        self.draws: list[str] = []  # "rand in encoder", in order
        self.dropouts: list[float] = []  # rates above 0, in order
        self.casts: dict[str, str] = {}  # modules in which something is cast to float32
        self.backwards: dict[str, str] = {}  # modules whose result has an autograd.Function

    def __enter__(self) -> Self:
        self._default = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(self._default)

    def tick(self) -> int:
        """The next moment."""
        self._clock += 1
        return self._clock

    @property
    def module(self) -> str:
        """The module that is being called; "" for the model itself."""
        return self.within[-1] if self.within else ""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in DROPOUTS:
            return self._without_dropout(name, args, kwargs)
        if name in DRAWS:
            self.draws.append(f"{name} in {self.module}" if self.within else name)
        if name == "scaled_dot_product_attention":
            args, kwargs = self._undropped_attention(args, kwargs)
        if name == "multi_head_attention_forward" and "training" in kwargs:
            if kwargs["training"]:
                self._drop(kwargs.get("dropout_p", args[10] if len(args) > 10 else 0.0))
            kwargs["training"] = False  # which switches nothing but its dropout
        if self._dtype == torch.float64:
            func, args, kwargs = self._widened(func, name, args, kwargs)
        if name in FROM_NUMPY:
            tensor = func(*args, **kwargs)
            single = self._dtype == torch.float64 and tensor.dtype == torch.float32
            return tensor.to(self._dtype) if single else tensor
        special = name.startswith("__") and name != "__rsub__"
        if special or name in ("backward", "detach", "requires_grad_"):
            return func(*args, **kwargs)
        return self._called(func, name, args, kwargs)

    def _called(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tick = self.tick()
        if not self._keep_sites:
            return func(*args, **kwargs)
        site = Site(len(self.sites), name, self.module, tick, args, kwargs)
        self.sites.append(site)
        variant = self._variant and self._variant.on(site.index)
        if variant is not None and self._substitute:
            return self._substitute(variant)(func, *args, **kwargs)
        return func(*args, **kwargs)

    def _drop(self, rate: float) -> None:
        if rate:
            self.dropouts.append(float(rate))

    def _without_dropout(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        training = kwargs.get("training", args[2] if len(args) > 2 else True)
        if training:
            self._drop(kwargs.get("p", args[1] if len(args) > 1 else 0.5))
        return args[0] if args else kwargs["input"]

    def _undropped_attention(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._drop(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0))
        if len(args) > 4:
            return (*args[:4], 0.0, *args[5:]), kwargs
        return args, {**kwargs, "dropout_p": 0.0}

    def _widened(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The call with float64 in place of float32, wherever float32 is asked for."""
        if name != "float" and not any(map(is_single, (*args, *kwargs.values()))):
            return func, args, kwargs
        first = args[0] if args else None
        if isinstance(first, torch.Tensor) and first.dtype == torch.float64:
            self.casts.setdefault(self.module, "")
        if name == "float":
            return torch.Tensor.to, (args[0], self._dtype), {}
        for key, value in kwargs.items():
            if is_single(value):
                kwargs[key] = self._dtype
        return func, tuple(self._dtype if is_single(value) else value for value in args), kwargs


def is_single(value: Any) -> bool:
    """Whether a value is float32's dtype."""
    return isinstance(value, torch.dtype) and value == torch.float32
