"""Where the pages and what they are made of lie, and how one is renewed from evidence."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EVIDENCE, PICTURES = DOCS / "evidence", DOCS / "pictures"
SECTION = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

sys.path.insert(0, str(ROOT))  # a script here may use tests/support


def renew(text: str, made: dict[str, str]) -> str:
    """A page with everything between its markers renewed, and nothing else.

    A marker is `<!-- made: name -->`, ended by `<!-- end -->`; KeyError for a name not in `made`.
    """
    return SECTION.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)
