"""Pages whose tables are made from evidence: what stands between `<!-- name -->` and its end."""

import re


def renew(text: str, made: dict[str, str]) -> str:
    """A page with everything between its markers renewed.

    A marker is `<!-- made: name -->`, ended by `<!-- end -->`; KeyError for a name not in `made`.
    """
    section = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return section.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)
