"""The notebook of docs/ as it is shown: run from its first cell to its last, and what it points at is there.

`pytest --nbmake docs/quickstart.ipynb` runs it.
"""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = json.loads((ROOT / "docs/quickstart.ipynb").read_text())
CODE, WORDS = (
    [{**cell, "source": "".join(cell["source"])} for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]
    for kind in ("code", "markdown")
)


def test_it_was_run_from_the_first_cell_to_the_last():
    assert [cell["execution_count"] for cell in CODE] == [*range(1, len(CODE) + 1)]
    kinds = [output["output_type"] for cell in CODE for output in cell["outputs"]]
    assert kinds.count("display_data") == 2 and {*kinds} == {"stream", "display_data"}
    pictures = [output["data"]["image/png"] for cell in CODE for output in cell["outputs"] if "data" in output]
    assert len(pictures) == 2 and all(len(picture) > 1000 for picture in pictures)


def test_the_page_shows_that_the_other_images_help():
    said = "".join("".join(output.get("text", "")) for cell in CODE for output in cell["outputs"])
    assert said.startswith("20 of 1,297 images are labelled\n")
    alone, both = map(float, re.findall(r"([\d.]+)% right", said))
    assert alone + 5 < both <= 100


def test_it_says_nothing_of_a_machine():
    text = json.dumps(NOTEBOOK)
    assert not re.search(r"/(?:tmp|home|root|work)/|site-packages|stderr", text)
    assert {*NOTEBOOK["metadata"]} == {"kernelspec", "language_info"}


@pytest.mark.parametrize("cell", CODE, ids=[str(cell["execution_count"]) for cell in CODE])
def test_code_is_python_and_no_wider_than_elsewhere(cell):
    ast.parse(cell["source"])
    assert [line for line in cell["source"].splitlines() if len(line) > 130] == []


def test_links_lead_somewhere():
    links = [link.partition("#")[0] for cell in WORDS for link in re.findall(r"\]\(([^)]*)\)", cell["source"])]
    assert len(links) > 2 and all((ROOT / "docs" / link).exists() for link in links)
    assert "(docs/quickstart.ipynb)" in (ROOT / "README.md").read_text()
