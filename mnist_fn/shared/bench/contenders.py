"""What is timed: an epoch of each backend, and what it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

from mnist_fn.shared.backend import names
from mnist_fn.shared.errors import InputError


@dataclass(frozen=True)
class Contender:
    """Something that is timed.

    `make(name, config, dataset, device)` of the module returns (what to time, the device's name);
    without a module it is an epoch of the backend that the name begins with.
    """

    name: str
    what: str
    module: str | None = None


COMPARED = (
    Contender("jax/products", "its matrix products alone", "mnist_fn.bench"),
    Contender("torch/products", "its matrix products alone", "torch_ref.bench"),
    Contender("torch/loop", "the fastest eager loop, fused Adam", "torch_ref.bench"),
    Contender("torch/loop, compiled", "the whole step in one torch.compile", "torch_ref.bench"),
    Contender("torch/loop, CUDA graph", "the eager step as one CUDA graph", "torch_ref.bench"),
    Contender("torch/notebook", "DataLoader, ToTensor, .item()", "torch_ref.bench"),
)


def choose(parts: Sequence[str] = ()) -> list[Contender]:
    """All contenders, or those whose names contain one of the parts.

    Raises:
        InputError: a part is in no contender's name.
    """
    contenders: dict[str, Contender] = {}
    for backend in names():
        for part, what in (("train", "training"), ("train+test", "evaluation too")):
            name = f"{backend}/{part}"
            contenders[name] = Contender(name, f"an epoch of {backend}, {what}")
    for contender in COMPARED:
        contenders[contender.name] = contender
    chosen: set[str] = set()
    for part in parts:
        named = [name for name in contenders if part in name]
        if not named:
            known = ", ".join(contenders)
            raise InputError(
                f"--only {part[:40]!r}: must be in the name of one of these contenders: {known}"
            )
        chosen.update(named)
    return [contenders[name] for name in contenders if name in chosen or not parts]
