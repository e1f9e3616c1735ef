"""What `run.json` says of a run."""

from dataclasses import dataclass, field
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.form import MNIST, Form
from mnist_fn.shared.runs.computed import UNKNOWN, Computed
from mnist_fn.shared.storage import digest_of

STATUSES = ("unfinished", "finished", "diverged")
SECONDS = ("compile", "train", "total")
_LEG = {"backend": str, "first_epoch": int}
# What else a leg says; legs of older runs have none of it.
_OF_LEG = {"device": str, "machine": str, "versions": dict, "computed": dict}


@dataclass(frozen=True)
class Header:
    """What `run.json` holds besides the schema version."""

    config: Config
    dataset_sha256: str
    pixels: int
    classes: int
    backend: str  # that computed last
    device: str  # that it computed on, in words
    status: str  # one of STATUSES
    versions: dict[str, str]
    machine: str
    # Which backend did which epochs, and with what: {"backend", "first_epoch", "device", "machine",
    # "versions", "computed"}. The fields above are those of the last.
    legs: list[dict[str, Any]]
    seconds: dict[str, float]  # compile, train, total, of all legs together
    form: Form = MNIST  # its classes, and how the pictures stand that it was trained on
    computed: Computed = UNKNOWN  # what computed last
    # where its weights came from, if not from here: {"file", "sha256", "pixels"}
    imported: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Names the experiment whatever its length and backend: any leg of it may go on."""
        config = self.config.to_dict()
        del config["epochs"]
        return digest_of([config, self.dataset_sha256])

    def backend_of(self, epoch: int) -> str:
        """Which backend did an epoch (the first is 1), as the legs say; "" if none did."""
        those = (leg["backend"] for leg in reversed(self.legs) if leg["first_epoch"] <= epoch)
        return next(those, "")


def well_formed(header: Header) -> bool:
    """Whether each field is what its annotation says; the config has been checked."""
    words = (header.dataset_sha256, header.backend, header.device, header.status, header.machine)
    return (
        all(type(word) is str for word in words)
        and header.status in STATUSES
        and type(header.pixels) is int
        and 0 < header.pixels < 2**24
        and type(header.classes) is int
        and header.classes == header.form.classes
        and _maps_to(str, header.versions)
        and isinstance(header.legs, list)
        and all(map(_well_formed_leg, header.legs))
        and _maps_to(float, header.seconds)
        and set(header.seconds) == set(SECONDS)
        and _maps_to(str, header.imported)
    )


def _well_formed_leg(leg: object) -> bool:
    if not isinstance(leg, dict):
        return False
    types = {name: type(value) for name, value in leg.items()}
    if types == _LEG:
        return True
    try:
        Computed.from_dict(leg.get("computed"))
    except KeyError:
        return False
    return types == {**_LEG, **_OF_LEG} and _maps_to(str, leg["versions"])


def _maps_to(kind: type, values: object) -> bool:
    return isinstance(values, dict) and all(type(value) is kind for value in values.values())
