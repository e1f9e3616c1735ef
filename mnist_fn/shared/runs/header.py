"""What `run.json` says of a run."""

from dataclasses import dataclass, field, fields
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.data.spec import MNIST, DataSpec
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.environment import UNKNOWN_HARDWARE, Hardware
from mnist_fn.shared.storage import digest_of

STATUSES = ("unfinished", "finished", "diverged")
SECONDS = ("compile", "train", "total")
_SEGMENT = {"backend": str, "first_epoch": int}
# What else a segment says; segments of older runs have none of it.
_SEGMENT_MEANS = {"device": str, "machine": str, "versions": dict, "hardware": dict}
# As runs written before have them.
_OLD_KEYS = {
    "pixels": "input_dim",
    "classes": "num_classes",
    "legs": "segments",
    "form": "data_spec",
    "computed": "hardware",
}
_IMPORTED = ({}, {"file": str, "sha256": str, "pixels": str})
_MAX_PIXELS = 2**24  # in a header that is believed


@dataclass(frozen=True)
class Header:
    """What `run.json` holds besides the schema version.

    A run that has not begun has its config only.
    """

    config: Config
    dataset_sha256: str = field(default="", repr=False)
    input_dim: int = field(default=0, repr=False)  # pixels of a picture
    num_classes: int = field(default=0, repr=False)
    backend: str = ""  # that computed last
    device: str = ""  # that it computed on, in words
    status: str = "unfinished"  # one of STATUSES
    versions: dict[str, str] = field(default_factory=dict, repr=False)
    machine: str = field(default="", repr=False)
    # The run's segments, each by one backend: {"backend", "first_epoch", "device", "machine",
    # "versions", "hardware"}. The fields above are those of the last.
    segments: list[dict[str, Any]] = field(default_factory=list, repr=False)
    # compile, train, total, of all segments together
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(SECONDS, 0.0), repr=False
    )
    # its classes, and how the pictures stand that it was trained on
    data_spec: DataSpec = field(default=MNIST, repr=False)
    hardware: Hardware = field(default=UNKNOWN_HARDWARE, repr=False)  # what computed last
    # where its weights came from, if they were not trained: {"file", "sha256", "pixels"}
    imported: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def begun(self) -> bool:
        """Whether the run has met its data."""
        return self.dataset_sha256 != ""

    @property
    def identity(self) -> str:
        """Names the experiment whatever its length and backend: any segment of it may go on."""
        config = self.config.to_dict()
        if self.config.schedule == "constant":  # a schedule spreads over all epochs
            del config["epochs"]
        return digest_of([config, self.dataset_sha256])

    @property
    def finished(self) -> bool:
        """Whether the run came to its last epoch."""
        return self.status == "finished"

    def backend_of(self, epoch: int) -> str:
        """Which backend did an epoch (the first is 1), as the segments say; "" if none did."""
        for segment in reversed(self.segments):
            if segment["first_epoch"] <= epoch:
                return segment["backend"]
        return ""

    def filled_segments(self) -> list[dict[str, Any]]:
        """What computed each segment; the header's own fields where an old one does not say."""
        recorded = {
            "device": self.device,
            "machine": self.machine,
            "versions": self.versions,
            "hardware": self.hardware.to_dict(),
        }
        segments = self.segments or [{"backend": self.backend}]
        return [{**recorded, **segment} for segment in segments]

    def check_dataset(self, dataset: Dataset) -> None:
        """Raise InputError if the run began with other data than these."""
        if self.dataset_sha256 != dataset.sha256:
            raise InputError(
                f"{dataset.name}: not the data that this run began with (SHA-256 "
                f"{self.dataset_sha256[:16]} then, {dataset.sha256[:16]} now)"
            )
        if self.data_spec.labels != dataset.data_spec.labels:
            raise InputError(
                f"{dataset.name}: {dataset.classes} classes, this run began with "
                f"{self.num_classes}; put the file of its classes' names back into the data's "
                "folder"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {attribute.name: getattr(self, attribute.name) for attribute in fields(Header)}
        for name in ("config", "data_spec", "hardware"):
            values[name] = values[name].to_dict()
        return values

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Header":
        """Read what `to_dict` wrote; fields that old runs did not record get their defaults.

        Raises:
            InputError, KeyError, ValueError: it is not that; a field is of another kind.
        """
        document = {
            "data_spec": MNIST.to_dict(),
            "hardware": UNKNOWN_HARDWARE.to_dict(),
            "imported": {},
            **_renamed(document),
        }
        if isinstance(document["segments"], list):  # `is_well_formed` refuses anything else
            document["segments"] = list(map(_renamed, document["segments"]))
        values = {attribute.name: document[attribute.name] for attribute in fields(Header)}
        values["config"] = Config.from_dict(values["config"])
        values["data_spec"] = DataSpec.from_dict(values["data_spec"])
        values["hardware"] = Hardware.from_dict(values["hardware"])
        header = cls(**values)
        if not header.is_well_formed():
            raise ValueError("a field is of another kind or out of range")
        return header

    def is_well_formed(self) -> bool:
        """Whether each field is what its annotation says; the config has been checked."""
        for text in (self.dataset_sha256, self.backend, self.device, self.status, self.machine):
            if type(text) is not str:
                return False
        return (
            self.status in STATUSES
            and type(self.input_dim) is int
            and 0 < self.input_dim < _MAX_PIXELS
            and type(self.num_classes) is int
            and self.num_classes == self.data_spec.classes
            and _maps_to(str, self.versions)
            and isinstance(self.segments, list)
            and all(map(_is_segment, self.segments))
            and _maps_to(float, self.seconds)
            and set(self.seconds) == set(SECONDS)
            and _types(self.imported) in _IMPORTED
        )


def _is_segment(segment: object) -> bool:
    if not isinstance(segment, dict) or _types(segment) == _SEGMENT:
        return isinstance(segment, dict)
    try:
        Hardware.from_dict(segment.get("hardware"))
    except KeyError:
        return False
    expected = {**_SEGMENT, **_SEGMENT_MEANS}
    return _types(segment) == expected and _maps_to(str, segment["versions"])


def _renamed(values: Any) -> Any:
    """Return a header or segment with the present keys."""
    if not isinstance(values, dict):
        return values  # which `is_well_formed` refuses
    return {_OLD_KEYS.get(name, name): value for name, value in values.items()}


def _types(values: object) -> dict[str, type] | None:
    """The type of each value of a JSON object; None for anything else."""
    if not isinstance(values, dict):
        return None
    return {name: type(value) for name, value in values.items()}


def _maps_to(kind: type, values: object) -> bool:
    types = _types(values)
    return types is not None and set(types.values()) <= {kind}
