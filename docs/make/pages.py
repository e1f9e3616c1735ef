"""What the scripts here share: where pages and evidence lie, how each is read and written.

A page has marked sections, `<!-- made: name -->` to `<!-- end -->`, that a script makes from the
evidence. The rest of a page is written by hand.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EVIDENCE, PICTURES = DOCS / "evidence", DOCS / "pictures"
# in evidence of before these rungs, or what they compare, were renamed
OLD_RUNGS = {"probes": "stress states", "logits": "outputs", "predictions": "evaluation"}
OLD_PLACE, PLACE = "at a ReLU's kink", "at a ReLU's boundary"
SECTION = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

sys.path.insert(0, str(ROOT))  # a script here may use tests/support


def renamed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an object of evidence under the present names: an `object_hook` of `json.loads`."""
    names = {
        "rung": lambda name: OLD_RUNGS.get(name, name),
        "what": lambda text: text.replace(OLD_PLACE, PLACE),
    }
    return {key: names.get(key, lambda same: same)(value) for key, value in entry.items()}


def read_evidence(name: str) -> dict[str, Any]:
    """Return the evidence `docs/evidence/NAME.json`, under the present names."""
    return json.loads((EVIDENCE / f"{name}.json").read_text(), object_hook=renamed)


def write_evidence(file: Path, command: str, **results: Any) -> None:
    """Write evidence: the command that made it, the machine, the versions and the results."""
    from mnist_fn.shared.runs.environment import machine, versions

    document = {"command": command, "machine": machine(), "versions": versions(), **results}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def source(document: dict[str, Any], *packages: str) -> str:
    """Say what made a document: its command, machine and the versions of some packages."""
    return f"`{document['command']}`; {document['machine']}; {versions_of(document, *packages)}"


def versions_of(document: dict[str, Any], *packages: str) -> str:
    """Return `jax 0.10.1, python 3.11.7` for the packages asked for."""
    return ", ".join(f"{name} {document['versions'][name]}" for name in packages)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def renew(text: str, sections: dict[str, str]) -> str:
    """Return a page's text with its marked sections replaced; KeyError for an unknown one."""
    return SECTION.sub(lambda match: f"{match[1]}{sections[match[2]]}\n{match[3]}", text)


def write_page(page: Path, sections: dict[str, str]) -> None:
    """Replace the marked sections of a page."""
    page.write_text(renew(page.read_text(), sections))
