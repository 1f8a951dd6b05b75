"""BibTeX of what a table names: ssl_zoo itself, methods, nets and data sets. It is in citations.yaml."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_zoo.errors import one_line
from ssl_zoo.tables.captions import commits
from ssl_zoo.tables.rows import Row

CITATIONS = Path(__file__).parent / "citations.yaml"
OURS = """@software{{ssl_zoo,
  title = {{ssl\\_zoo: semi-supervised image classifiers, compared under identical pipelines}},
  author = {{{{The ssl\\_zoo authors}}}},
  year = {{2026}},
  version = {{{version}}},
  note = {{{note}}}
}}
"""
COLUMNS = {"algorithms": "algorithm", "nets": "net", "datasets": "dataset"}  # of a row


def citations(rows: Sequence[Row]) -> str:
    """Return BibTeX of all that these rows name, each entry once, and a comment for what none is known of.

    Args:
        rows: Of runs, at least one.
    """
    known = yaml.safe_load(CITATIONS.read_text(encoding="utf-8"))
    keys: dict[str, None] = {}
    unknown = []
    for section, column in COLUMNS.items():
        for name in dict.fromkeys(row[column] for row in rows):
            found = _entries(known["of"][section], name)
            keys |= dict.fromkeys(found)
            if not found and name not in known["of"]["none"]:
                unknown.append(f"{column} {one_line(name)}")
    versions = ", ".join(dict.fromkeys(row["versions"]["ssl_zoo"] for row in rows))
    made = [OURS.format(version=_plain(versions), note=_plain(f"commit {commits(rows)}"))]
    made += [known["entries"][key] for key in keys]
    comments = [f"% no entry is known for the {name}: cite what its author names\n" for name in unknown]
    return "\n".join([*made, *comments]).rstrip("\n")


def papers(method: str) -> str:
    """Return who wrote of a method, when and where: "Sohn et al. 2020, arXiv:2001.07685"; empty where none is known."""
    known = yaml.safe_load(CITATIONS.read_text(encoding="utf-8"))
    return "; ".join(_short(known["entries"][key]) for key in _entries(known["of"]["algorithms"], method)[:1])


def _short(entry: str) -> str:
    """An entry's authors, year and number at arXiv."""
    authors, year = (
        " ".join(re.search(rf"{field} = {{(.*?)}}[,\n]", entry, re.DOTALL)[1].split()) for field in ("author", "year")
    )
    names = [name.partition(",")[0] for name in authors.split(" and ")]
    who = f"{names[0]} et al." if len(names) > 2 else " & ".join(names)
    number = re.search(r"arXiv:[\d.]+", entry)
    return ", ".join([f"{who} {year}", *([number[0]] if number else [])])


def _plain(text: str) -> str:
    """A text of a row without what would mean something to BibTeX or LaTeX."""
    return re.sub(r"[^\w .,:+-]|_", "", one_line(text), flags=re.ASCII)


def _entries(of: dict[str, Any], name: str) -> list[str]:
    """The keys that belong to a name, or to the family that it is of."""
    for pattern, keys in of.items():
        if re.fullmatch(re.escape(pattern).replace(r":\{\}", ":.+").replace(r"\{\}", r"\d+"), name):
            return keys
    return []
