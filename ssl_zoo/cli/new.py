"""Start a method, net, data set or augmentation of your own: ssl-zoo new my-method, or with --kind net my-net

Writes files into the current folder, and says how to run each: the thing itself (a working one), its test (the
conformance check), and, but for a net, a recipe. A method may begin as a copy of another: --like fixmatch
"""

import argparse
import importlib.util
import inspect
import keyword
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from ssl_zoo.cli.parser import Parser, command
from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, Registry
from ssl_zoo.runs.baselines import is_baseline
from ssl_zoo.templates import Template, algorithm, augmentation, dataset, net
from ssl_zoo.templates.like import copied

KINDS: dict[str, tuple[Registry, Template]] = {
    "algorithm": (ALGORITHMS, algorithm.TEMPLATE),
    "net": (NETS, net.TEMPLATE),
    "dataset": (DATASETS, dataset.TEMPLATE),
    "augmentation": (AUGMENTATIONS, augmentation.TEMPLATE),
}


def runner() -> str:
    """Return what a run is started with."""
    return "ssl-zoo run" if shutil.which("ssl-zoo") else "python -m ssl_zoo run"


def files(name: str, kind: str = "algorithm", like: str | None = None) -> dict[str, str]:
    """What to write for a thing of this name: file name -> text.

    Args:
        name: Such as my-method.
        kind: One of `KINDS`.
        like: Of a method, the one that it begins as a copy of.

    Raises:
        InputError: The name cannot be that of such a thing and of a Python module; or no method can be copied from
            `like`.
    """
    template, values = KINDS[kind][1] if like is None else _like(like, kind), _values(name, kind)
    texts = {"@MODULE@.py": template.code, "test_@MODULE@.py": template.test, "@MODULE@.yaml": template.recipe}
    return {_filled(file, values): _filled(text, values) for file, text in texts.items() if text is not None}


def _like(like: str, kind: str) -> Template:
    """The template of a method that begins as a copy of another."""
    if kind != "algorithm":
        raise InputError(f"`--like` copies a method, and this is to be {KINDS[kind][1].noun}; leave one of the two out")
    entry = ALGORITHMS.resolve(like)
    if is_baseline(entry.name):
        stepped = [name for name in ALGORITHMS.names() if not is_baseline(name)]
        raise InputError(f"'{entry.name}' is fitted at once and has no loss to change; copy one of {', '.join(stepped)}")
    source = Path(inspect.getfile(entry.target)).read_text(encoding="utf-8")
    options = {name: parameter.default for name, parameter in entry.options.items()}
    return copied(source, entry.name, entry.target.__name__, options)


def _values(name: str, kind: str) -> dict[str, str]:
    """What stands for each word between two @."""
    module = re.sub(r"[-_\s]+", "_", name.strip()).lower()
    if not re.fullmatch(r"[a-z]\w*[a-z0-9]", module, re.ASCII) or keyword.iskeyword(module):
        noun = KINDS[kind][1].noun
        raise InputError(
            f"'{name}' cannot be the name of {noun}; use letters, digits and -, as in my-{kind.replace('algorithm', 'method')}"
        )
    if importlib.util.find_spec(module) is not None and not Path(f"{module}.py").exists():
        raise InputError(f"{module}.py would hide another module called '{module}'; choose another name")
    words, slug = module.split("_"), module.replace("_", "-")
    return {
        "NAME": slug,
        "KEY": slug if yaml.safe_load(slug) == slug else f'"{slug}"',  # `on` would be a truth value
        "MODULE": module,
        "CLASS": "".join(word[0].upper() + word[1:] for word in words),
        "TITLE": " ".join(words).capitalize(),
        "RUN": runner(),
    }


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def main(argv: Sequence[str] | None = None, prog: str = "python -m ssl_zoo.new") -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    words = sys.argv[1:] if argv is None else argv
    return command(prog, lambda: _new(words, prog))


def _new(argv: Sequence[str], prog: str) -> int:
    p = Parser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("name", help="of the method or other thing, such as my-method")
    p.add_argument("--kind", choices=list(KINDS), default="algorithm", help="what it is; a method unless said otherwise")
    p.add_argument("--like", metavar="METHOD", help="begin a method as a copy of this one, such as fixmatch")
    flags = p.parse_args(argv)
    texts = files(flags.name, flags.kind, flags.like)
    _check_free(flags.name, flags.kind, texts)
    for file, text in texts.items():
        Path(file).write_text(text, encoding="utf-8")
    print(_filled(KINDS[flags.kind][1].said, _values(flags.name, flags.kind)))
    return 0


def _check_free(name: str, kind: str, texts: dict[str, str]) -> None:
    registry, template = KINDS[kind]
    try:
        taken = registry.resolve(name)
    except InputError:
        taken = None
    if taken is not None:
        noun = template.noun.partition(" ")[2]
        raise InputError(f"'{name}' is the {noun} {taken.target.__module__}.{taken.target.__qualname__}; choose another name")
    there = [file for file in texts if Path(file).exists()]
    if there:
        raise InputError(f"{', '.join(there)} exists already and is not overwritten; choose another name or folder")
