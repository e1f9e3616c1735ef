"""Of which source each file of evidence is, and which files may be older than the code.

`versions` in an evidence file carry the digests of the source that computed it (see
`mnist_fn/shared/source.py`). Evidence takes from minutes to a day to renew, so it may be older than
the code: OLDER says which files are, and a test fails where that is not so.
"""

import json
from collections.abc import Iterator
from typing import Any

from pages import EVIDENCE

from mnist_fn.shared import source
from mnist_fn.shared.faults import FAULTS, VersionFault

# Files that were computed before the source was recorded, or by other source than the present.
# Renew one, then take it out of here; a new file is of the present source or has to be added.
OLDER = {
    *("accuracy-plan", "accuracy-verdict", "bench-cpu", "bench-cpu-amd", "bench-workers"),
    *("bounds-lowest", "bounds-newest", "parity-full", "parity-horizon", "parity-sharpness"),
    *("parity-statistics", "pictures", "planted", "reasons", "reliability-hostile"),
    *("reliability-kills-jax", "reliability-kills-torch", "reliability-memory-jax"),
    *("reliability-memory-torch", "reliability-parallel-jax", "reliability-parallel-torch"),
    *("reliability-peak-jax", "reliability-peak-torch", "reliability-reproducible-jax"),
    *("reliability-reproducible-torch", "study-jax", "study-torch"),
    *("versions-jax-0.8.0-torch-2.15.0", "versions-jax-0.8.1-torch-2.15.0"),
    *("versions-jax-0.8.2-torch-2.15.0", "versions-jax-0.9.2-torch-2.15.0"),
    *("versions-jax-0.10.1-torch-2.15.0", "versions-jax-0.10.2-torch-2.15.0"),
    *("versions-jax-0.11.2-torch-2.15.0", "versions-jax-0.12.0.1-torch-2.8.0"),
    *("versions-jax-0.12.0.1-torch-2.10.0", "versions-jax-0.12.0.1-torch-2.13.0"),
    *("versions-jax-0.12.0.1-torch-2.15.0",),
}
# What tests notice and what the ports' ladder finds: nothing that the training's source computes.
WITHOUT_COMPUTING = {"mutants", "exhaustive", "ports-public", "ports-random"}


def sources_of(document: Any) -> set[str]:
    """The digests of the training source in a document, at any depth; "" where one has none."""
    return set(_digests(document)) or {""}


def _digests(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        versions = value.get("versions")
        if isinstance(versions, dict):
            yield versions.get(source.TRAINING, "")
        for each in value.values():
            yield from _digests(each)
    elif isinstance(value, list):
        for each in value:
            yield from _digests(each)


def known_fault(versions: dict[str, str]) -> VersionFault | None:
    """Return the fault of one of these versions that is known to compute something wrong."""
    for fault in FAULTS:
        if versions.get(fault.package) in fault.versions:
            return fault
    return None


def older() -> list[str]:
    """The evidence files that are not, or not only, of the present source."""
    present = {source.digests()[source.TRAINING]}
    results = [path for path in sorted(EVIDENCE.glob("*.json"))
               if path.stem not in WITHOUT_COMPUTING]  # fmt: skip
    return [path.stem for path in results if sources_of(json.loads(path.read_text())) != present]


def sentence() -> str:
    """Say which evidence is of older source, for a page: what is in OLDER and on disk.

    Where all files of a kind are older, `study-*` stands for them.
    """
    names: dict[str, str] = {}
    stems = sorted(path.stem for path in EVIDENCE.glob("*.json"))
    for stem in stems:
        kind = stem.partition("-")[0]
        of_kind = [other for other in stems if other.partition("-")[0] == kind]
        whole = len(of_kind) > 1 and OLDER.issuperset(of_kind)
        if stem in OLDER:
            names[stem] = f"{kind}-*" if whole else stem
    return (
        f"Of {len(stems)} evidence files, {len(names)} were computed by older code than the "
        "present, or before the code was recorded: "
        f"{', '.join(f'`{name}`' for name in dict.fromkeys(names.values()))}. Each file says by "
        "which versions it was computed. The others don't depend on the training's code; each "
        "names the source that it judged, which may be older than the present, too."
    )
