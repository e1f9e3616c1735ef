"""Stands between a model and torch's functions while a program looks at it.

No draw happens, so that two programs can be compared: dropout is off, other draws are refused.
What is made without a dtype gets the program's, which leaves torch's default dtype alone. And one
function may be done otherwise, to see whether that is what a port does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from mnist_fn.shared.errors import InputError
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
CONSTRUCTORS = {
    "zeros", "ones", "full", "empty", "eye", "linspace", "logspace", "arange", "tensor",
    "as_tensor", "scalar_tensor", "hann_window", "hamming_window",
}  # fmt: skip


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
    """See the module; `sites` are the calls that were seen, in order."""

    def __init__(
        self,
        name: str,
        dtype: torch.dtype,
        variant: Variant | None = None,
        substitute: Callable[[Variant], Callable[..., Any]] | None = None,
    ) -> None:
        super().__init__()
        self._name, self._dtype, self._variant, self._substitute = name, dtype, variant, substitute
        self._clock = 0
        self.within: list[str] = []
        self.sites: list[Site] = []

    def tick(self) -> int:
        """The next moment."""
        self._clock += 1
        return self._clock

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
            return args[0] if args else kwargs["input"]
        if name in DRAWS:
            where = f" in {self.within[-1]}" if self.within else ""
            raise InputError(
                f"{self._name}: draws at random ({name}{where}), so no other program can do the "
                "same; draw outside of the model and hand it in as an input"
            )
        if name == "scaled_dot_product_attention":
            kwargs["dropout_p"] = 0.0
            args = (*args[:4], 0.0, *args[5:]) if len(args) > 4 else args
            if len(args) > 4:
                del kwargs["dropout_p"]
        if name == "multi_head_attention_forward" and "training" in kwargs:
            kwargs["training"] = False  # which switches its dropout alone
        if name in CONSTRUCTORS and kwargs.get("dtype") is None:
            made = func(*args, **kwargs)
            narrow = made.dtype == torch.get_default_dtype() != self._dtype
            given = isinstance(args[0] if args else None, torch.Tensor)
            return func(*args, **{**kwargs, "dtype": self._dtype}) if narrow and not given else made
        if name.startswith("__") or name in ("backward", "detach", "requires_grad_"):
            return func(*args, **kwargs)
        site = Site(len(self.sites), name, self.within[-1] if self.within else "", self.tick(),
                    args, kwargs)  # fmt: skip
        self.sites.append(site)
        if self._variant is not None and self._variant.site == site.index and self._substitute:
            return self._substitute(self._variant)(func, *args, **kwargs)
        return func(*args, **kwargs)
