"""docs/methods.md, what papers and codes do: held to the methods' options, defaults and docstrings."""

import inspect
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
import yaml

from ssl_zoo.registry import ALGORITHMS
from tests.conftest import STEPPED

PAGE = (Path(__file__).parent.parent / "docs/methods.md").read_text()
LEFT, SHARED, CODES = "Where we leave the paper", "What holds for all methods", "The codes"
CODES_NAMED = ("TorchSSL", "USB", "LAMDA-SSL", "ModSSC", "Oliver", "FixMatch's code", "authors' code", "authors' PyTorch code")
SAYS = re.compile(rf"\bpaper|{'|'.join(CODES_NAMED)}|tutorial|\btables\b", re.IGNORECASE)


class Row(NamedTuple):
    """A row of a method's table, of an option, or of what is none."""

    option: str | None
    paper: str
    codes: str
    ours: str


def section(heading: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/methods.md has no section '{heading}'"
    return found[1]


def cells(text: str) -> list[list[str]]:
    """The rows of the tables of a text, without their heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    heads = {k for k, row in enumerate(rows) if {*row} <= {"-", "-:"}}
    return [row for k, row in enumerate(rows) if k not in heads and k + 1 not in heads]


def table(heading: str) -> list[Row]:
    """The rows of a section's table."""
    return [Row(named(row[0]), *row[1:]) for row in cells(section(heading))]


def named(cell: str) -> str | None:
    """The option that a cell begins with."""
    found = re.match(r"`(\w+)`", cell)
    return found and found[1]


def value(cell: str) -> Any:
    """The value that a cell begins with, as YAML has it; or `...`: it begins with none."""
    found = re.match(r"`([^`]+)`", cell)
    return yaml.safe_load(found[1]) if found else ...


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and both or neither of them a truth value."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def numbers(text: str) -> list[float]:
    """The numbers of a text."""
    return [float(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)]


def documented(name: str) -> dict[str, str]:
    """What the docstring of a method says of each option, in one line each."""
    text = inspect.getdoc(ALGORITHMS.resolve(name).target).partition("Args:\n")[2]
    parts = re.split(r"^    (\w+): ", text, flags=re.MULTILINE)[1:]
    return {option: " ".join(said.split()) for option, said in zip(parts[::2], parts[1::2], strict=True)}


def rows_of(name: str) -> dict[str, Row]:
    """The row of each option that the page has of a method: of its own table, or else of that for all methods."""
    return {row.option: row for row in (*table(SHARED), *table(name)) if row.option}


OPTIONS = [(name, option) for name in STEPPED for option in ALGORITHMS.resolve(name).options]
DISPUTED = [(name, option) for name, option in OPTIONS if SAYS.search(documented(name)[option])]


def test_docstrings_are_read():
    assert len(DISPUTED) > 100 and ("fixmatch", "gate_temperature") in DISPUTED
    assert documented("uda")["threshold"].endswith("Paper: 0.8. FixMatch's code has 0.95.")


@pytest.mark.parametrize("name", STEPPED)
def test_every_method_has_its_section_and_source(name):
    text = section(name)
    source = inspect.getmodule(ALGORITHMS.resolve(name).target).__doc__
    papers = re.findall(r"arXiv:\d+\.\d+", source)
    assert {*re.findall(r"arXiv:\d+\.\d+", text)} <= {*papers} and (not papers or papers[0] in text)
    assert all(len(row) == 4 for row in cells(text))


@pytest.mark.parametrize(("name", "option"), DISPUTED)
def test_what_a_docstring_says_of_paper_and_codes_is_on_the_page(name, option):
    rows, said = rows_of(name), documented(name)[option]
    assert option in rows, f"docs/methods.md, {name}: no row of {option}; its docstring says: {said}"
    row = rows[option]
    everything = " ".join(map(str, row)).lower()
    for code in CODES_NAMED:
        assert code.lower() not in said.lower() or code.lower().removesuffix(" code") in everything, (code, row)
    if found := re.search(r"Paper: (\d[\d,]*(?:\.\d+)?|\.\d+)(?!/)", said):
        assert float(found[1].replace(",", "")) in numbers(row.paper), (found[1], row)


@pytest.mark.parametrize("name", STEPPED)
def test_defaults_are_those_of_the_code(name):
    options = ALGORITHMS.resolve(name).options
    for row in table(name):
        assert row.option is None or row.option in options, row
    for option, row in rows_of(name).items():
        if option in options:
            assert same(value(row.ours), options[option].default), row


def test_where_the_default_is_not_the_papers_is_said_first():
    """Every such row is in the first table, with the same values and a reason."""
    listed = set()
    for name, first, paper, ours, why in cells(section(LEFT)):
        assert name in STEPPED and why
        if option := named(first):
            listed.add((name, option))
            row = rows_of(name)[option]
            assert same(value(ours), ALGORITHMS.resolve(name).options[option].default), (name, option)
            assert value(paper) is ... or same(value(paper), value(row.paper)), (name, option)
            assert not same(value(row.paper), value(row.ours)), f"{name}, {option} is as in the paper"
    for name in STEPPED:
        for option, row in rows_of(name).items():
            theirs = value(row.paper)
            if option in ALGORITHMS.resolve(name).options and theirs is not ... and not same(theirs, value(row.ours)):
                assert (name, option) in listed, f"'{LEFT}' lacks {name}, {option}"


def test_the_values_that_others_have_can_be_set():
    """What stands in backticks beside an option is a value of it."""
    for name in STEPPED:
        for option, row in rows_of(name).items():
            if (parameter := ALGORITHMS.resolve(name).options.get(option)) is None:
                continue
            choices = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else None
            for word in re.findall(r"`([^`]+)`", f"{row.paper} {row.codes}"):
                theirs = yaml.safe_load(word)
                if choices is not None:
                    assert theirs in choices, (name, option, word)
                elif theirs is not None:
                    assert isinstance(theirs, bool) == isinstance(parameter.default, bool), (name, option, word)
                    assert isinstance(theirs, int | float), (name, option, word)


def test_the_codes_that_are_named_have_a_commit():
    found = {row[0]: row[2] for row in cells(section(CODES))}
    assert all(re.fullmatch(r"[0-9a-f]{7}(, [0-9a-f]{7})*", commit) for commit in found.values())
    for code in ("TorchSSL", "USB", "LAMDA-SSL", "ModSSC", "Oliver", "FixMatch's code", "Google's codes"):
        assert code in found and code in PAGE.partition(f"## {CODES}")[0], code
