"""Pages whose tables are made from evidence: what stands between two markers, and nothing else."""

import re

SECTION = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def renew(text: str, made: dict[str, str]) -> str:
    """A page with everything between its markers renewed.

    A marker is `<!-- made: name -->`, ended by `<!-- end -->`; KeyError for a name not in `made`.
    """
    return SECTION.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)
