"""Where the pages and what they are made of lie, and how one is renewed from evidence."""

import re
import sys
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
    """An object of evidence with the present names: an `object_hook` of `json.loads`."""
    names = {
        "rung": lambda name: OLD_RUNGS.get(name, name),
        "what": lambda text: text.replace(OLD_PLACE, PLACE),
    }
    return {key: names.get(key, lambda same: same)(value) for key, value in entry.items()}


def renew(text: str, made: dict[str, str]) -> str:
    """A page with everything between its markers renewed, and nothing else.

    A marker is `<!-- made: name -->`, ended by `<!-- end -->`; KeyError for a name not in `made`.
    """
    return SECTION.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)
