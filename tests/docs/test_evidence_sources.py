"""Evidence says of which source it is; what is older than the code is stated, and no more is."""

import json
import re

import sources
from make_versions import PAGE
from pages import EVIDENCE

from mnist_fn.shared import source


def test_no_evidence_is_older_than_the_code_but_what_is_stated():
    assert set(sources.older()) <= sources.OLDER


def test_what_is_stated_is_there():
    stems = {path.stem for path in EVIDENCE.glob("*.json")}
    assert stems >= sources.OLDER
    assert stems >= sources.WITHOUT_COMPUTING


def test_a_page_says_which_evidence_is_older():
    page = PAGE.read_text()
    assert sources.sentence() in page
    names = re.findall(r"`([^`]+)`", sources.sentence())
    assert len(names) < len(sources.OLDER)  # kinds stand for their files
    of_names = [path.stem for path in EVIDENCE.glob("*.json")
                if any(path.match(f"{name}.json") for name in names)]  # fmt: skip
    assert set(of_names) == sources.OLDER


def test_a_files_source_is_found_wherever_it_stands(tmp_path, monkeypatch):
    now = source.digests()[source.TRAINING]
    assert sources.sources_of({"versions": {source.TRAINING: "a"}}) == {"a"}
    assert sources.sources_of({"where": [{"versions": {source.TRAINING: "a"}},
                                         {"versions": {"numpy": "2"}}]}) == {"a", ""}  # fmt: skip
    assert sources.sources_of({"runs": []}) == {""}
    monkeypatch.setattr(sources, "EVIDENCE", tmp_path)
    for name, versions in (("new", {source.TRAINING: now}), ("old", {source.TRAINING: "a"}),
                           ("unknown", {})):  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps({"versions": versions}))
    assert sources.older() == ["old", "unknown"]
