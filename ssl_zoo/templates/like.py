"""A method that begins as a copy of another, under a name of its own."""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from ssl_zoo.templates import Template, algorithm


def copied(source: str, registered: str, cls: str, options: Mapping[str, Any]) -> Template:
    """Return the template of a method that computes what another does, until it is changed.

    Args:
        source: The Python file that the other is defined in.
        registered: Its name.
        cls: The name of its class.
        options: Its options, each with its default.
    """
    lines = source.splitlines(keepends=True)
    module = ast.parse(source)
    (node,) = (part for part in module.body if isinstance(part, ast.ClassDef) and part.name == cls)
    start = min([node.lineno, *(part.lineno for part in node.decorator_list)]) - 1
    head, body = "".join(lines[:start]), "".join(lines[node.lineno - 1 :])
    text = f'{head}@ALGORITHMS.register("@NAME@")\n{_renamed(body, cls)}'
    text = _retitled(text, cls, ast.get_docstring(module), ast.get_docstring(node), registered)
    given = "".join(f"\n    {name}: {json.dumps(default)}" for name, default in options.items())
    recipe = RECIPE.replace("@LIKE@", registered).replace("@OPTIONS@", given or " {}")
    return Template("a method", text, algorithm.TEST, algorithm.SAID, recipe)


RECIPE = """# The options of @NAME@, with the defaults of @LIKE@, for the top of a recipe: --recipe digits --recipe @MODULE@.yaml
# A recipe may give @LIKE@ others. To compare like with like, copy them from: @RUN@ --alg @LIKE@ --print-config

algorithms:
  @KEY@:@OPTIONS@
"""


def _renamed(body: str, cls: str) -> str:
    """The class's text, and what follows it, with another name for the class: where it is defined, called or asked."""
    return re.sub(rf"\b{cls}(?=[(.])", "@CLASS@", body)


def _retitled(text: str, cls: str, module: str | None, own: str | None, registered: str) -> str:
    """The text with docstrings that say what it is, and what it was copied from."""
    if module:
        first = module.partition("\n")[0]
        text = text.replace(f'"""{first}', f'"""@TITLE@, which begins as a copy of {registered}.\n\n{first}', 1)
    if own:
        first = own.partition("\n")[0]
        text = text.replace(f'"""{first}', f'"""@TITLE@: {first.partition(": ")[2] or first}', 1)
    return text
