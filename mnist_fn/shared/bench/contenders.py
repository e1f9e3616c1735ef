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
    Contender("jax/traffic", "reading and writing what Adam must, alone", "mnist_fn.bench"),
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
    everyone: list[Contender] = []
    for backend in names():
        everyone.append(Contender(f"{backend}/train", f"an epoch of {backend}, training"))
        everyone.append(
            Contender(f"{backend}/train+test", f"an epoch of {backend}, evaluation too")
        )
    everyone += COMPARED
    for part in parts:
        if not any(part in contender.name for contender in everyone):
            known = ", ".join(contender.name for contender in everyone)
            raise InputError(
                f"--only {part[:40]!r}: must be in the name of one of these contenders: {known}"
            )
    if not parts:
        return everyone
    chosen: list[Contender] = []
    for contender in everyone:
        if any(part in contender.name for part in parts):
            chosen.append(contender)
    return chosen
