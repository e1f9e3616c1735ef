"""`run.json` and the documents of the report, altered, their digests computed again."""

import copy
import json
import shutil

import pytest

from figures.report import build, contents, drawings
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import digest_of
from tests.support.report_documents import write_all

SAMPLE = 12  # of the places in a document: each makes a page
OTHERS = (None, -1, 1e300, "", "x", [], {}, [[]], {"x": {}}, True)


def places(value, path=()):
    """The path of every value within a JSON document."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, one in value.items() if isinstance(value, dict) else ():
        yield (*path, key)
        yield from places(one, (*path, key))


def altered(document, path, *other):
    """A copy without the value at a path, or with another there."""
    document = copy.deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if other:
        holder[path[-1]] = other[0]
    else:
        del holder[path[-1]]
    return document


def write(path, document):
    document = {name: value for name, value in document.items() if name != "digest"}
    path.write_text(json.dumps({**document, "digest": digest_of(document)}))


def page_of(folder) -> str:
    return build.build(contents.read_contents([folder]), "mnist-fn report")


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing the figures is most of the time, and they show no header."""
    monkeypatch.setattr(drawings, "themed", lambda draw, label: label)


@pytest.mark.usefixtures("undrawn")
def test_a_header_short_of_a_key_is_refused_or_shown(run_of_digits, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(run_of_digits, run)
    document = json.loads((run / "run.json").read_text())
    document["imported"] = {"file": "w.pt", "sha256": "0" * 64, "pixels": "0-1"}
    counts = {"refused": 0, "shown": 0}
    without = [
        altered(document, path)
        for path in places(document)
        if path[-2:-1] != ("versions",) or path[-1] == "mnist-fn"  # any of the rest may be missing
    ]
    replaced = [altered(document, (key,), value) for key in document for value in OTHERS]
    for harmed in [*without, *replaced]:
        write(run / "run.json", harmed)
        try:
            page_of(run)
        except InputError as error:
            assert str(run) in str(error), harmed
            counts["refused"] += 1
        else:
            counts["shown"] += 1
    assert counts["refused"] > 25
    assert counts["shown"] > 1  # `mnist-fn` itself, of a source tree that isn't installed


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "file", ["study.json", "parity-quick.json", "parity-horizon.json", "bench.json"]
)
def test_an_altered_document_is_refused_by_name_or_shown(run_of_digits, tmp_path, file):
    shutil.copytree(run_of_digits, tmp_path / "run")
    write_all(tmp_path)
    if not (tmp_path / file).exists():
        pytest.skip("there is none")
    for other in tmp_path.glob("*.json"):
        if other.name != file:
            other.unlink()
    document = json.loads((tmp_path / file).read_text())
    everywhere = list(places(document))
    wrong = []
    for i, path in enumerate(everywhere[:: max(1, len(everywhere) // SAMPLE)]):
        write(tmp_path / file, altered(document, path, *[OTHERS[i % len(OTHERS)]][: i % 4]))
        try:
            page_of(tmp_path)
        except InputError as error:
            assert file in str(error)
        except Exception as error:
            wrong.append((path, i, repr(error)[:100]))
    assert not wrong
