"""Which code computed a run: digests of the source in each header, and each segment's own means."""

from pathlib import Path

import pytest

from mnist_fn import train
from mnist_fn.shared import backend as backends
from mnist_fn.shared import source
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import loop, trainer
from mnist_fn.shared.runs.folder import RunFolder
from tests.support.tiny_backend import TINY, Tiny

ROOT = Path(__file__).resolve().parents[2]
DIGESTS = (source.EVERYTHING, source.TRAINING)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Tiny)


def digests_of(monkeypatch, folder: Path, changed: str | None = None) -> dict[str, str]:
    """The digests of the source, or of one in which a file has another line at its end."""
    files = dict(source._files())
    if changed:
        copy = folder / "changed.py"
        copy.write_text(files[changed].read_text() + "# another\n")
        files[changed] = copy
    with monkeypatch.context() as patch:
        patch.setattr(source, "_files", lambda: iter(files.items()))
        return source.digests.__wrapped__()


def test_a_run_carries_the_digests_of_its_source(tmp_path):
    run = train(TINY, "tiny", out=tmp_path / "a")
    versions = RunFolder(run.path).read_header().versions
    assert {name: versions[name] for name in DIGESTS} == source.digests()
    assert all(len(versions[name]) == 16 for name in DIGESTS)


@pytest.mark.parametrize(
    ("file", "training"),
    [
        ("mnist_fn/training.py", True),
        ("torch_ref/train.py", True),
        ("mnist_fn/shared/streams.py", True),
        ("mnist_fn/shared/study/judging.py", False),
        ("mnist_fn/shared/statistics.py", False),
    ],
)
def test_a_changed_file_changes_the_digests_that_it_belongs_to(
    monkeypatch, tmp_path, file, training
):
    before = digests_of(monkeypatch, tmp_path)
    after = digests_of(monkeypatch, tmp_path, file)
    assert after[source.EVERYTHING] != before[source.EVERYTHING]
    assert (after[source.TRAINING] != before[source.TRAINING]) == training


def test_files_that_no_run_depends_on_are_named_as_they_stand():
    """A room that is renamed would begin to count, and every run look older than the code."""
    names = {part for path, _ in source._files() for part in Path(path).parts}
    assert {"parity", "study", "statistics.py", "exchange"} <= source.READERS & names


def test_a_leg_keeps_its_versions_and_machine(tmp_path, monkeypatch):
    path = train(TINY, "tiny", out=tmp_path / "a").path
    first = RunFolder(path).read_header()
    monkeypatch.setattr(loop, "machine", lambda: "another machine")
    trainer.resume(path, epochs=6)
    monkeypatch.setattr(loop, "versions", lambda: {"numpy": "1"})
    trainer.resume(path, epochs=7)
    trainer.resume(path, epochs=8)  # as before: no segment of its own
    segments = RunFolder(path).read_header().segments
    assert [(segment["first_epoch"], segment["machine"]) for segment in segments] == [
        (1, first.machine), (5, "another machine"), (7, "another machine")]  # fmt: skip
    assert [segment["versions"] for segment in segments] == [
        first.versions,
        first.versions,
        {"numpy": "1"},
    ]
    assert segments[0]["hardware"] == first.hardware.to_dict()


def test_an_older_runs_leg_says_what_its_header_did(tmp_path, monkeypatch):
    directory = RunFolder(train(TINY, "tiny", out=tmp_path / "a").path)
    header = directory.read_header()
    header.segments[:] = [{"backend": "tiny", "first_epoch": 1}]
    directory.write_header(header)
    assert directory.read_header() == header
    monkeypatch.setattr(loop, "machine", lambda: "another machine")
    trainer.resume(directory.path, epochs=6)
    one, two = directory.read_header().segments
    assert (one["machine"], one["versions"]) == (header.machine, header.versions)
    assert (two["first_epoch"], two["machine"]) == (5, "another machine")


def test_a_segment_that_did_no_epoch_leaves_nothing(tmp_path, monkeypatch):
    directory = RunFolder(train(TINY, "tiny", out=tmp_path / "a").path)
    before = directory.read_header()
    other = {**before.segments[0], "first_epoch": 5, "machine": "another"}
    idle = {**before.segments[0], "first_epoch": 5, "machine": "a third"}
    header = type(before)(
        **{**vars(before), "segments": [*before.segments, idle], "machine": "a third"}
    )
    assert loop.segments_with(header, other) == [*before.segments, other]
    assert loop.segments_with(header, {**before.segments[0], "first_epoch": 5}) == before.segments


@pytest.mark.parametrize(
    "change",
    [{"machine": 3}, {"versions": {"numpy": 1}}, {"versions": []}, {"hardware": {}}, {"more": "x"}],
)
def test_a_damaged_leg_is_refused(tmp_path, change):
    directory = RunFolder(train(TINY, "tiny", out=tmp_path / "a").path)
    header = directory.read_header()
    header.segments[0].update(change)
    directory.write_header(header)
    with pytest.raises(InputError, match="damaged"):
        directory.read_header()
