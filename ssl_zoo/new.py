"""Start a method of your own: python -m ssl_zoo.new my-method

Writes three files into the current folder, and says how to run each: the method (a working one, with one consistency term), its
test (the conformance check) and its recipe section.
"""

import argparse
import importlib.util
import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS

METHOD = '''"""@TITLE@: what it does, in a line.

Its source: authors, venue, arXiv:number.
"""

from ssl_zoo import ALGORITHMS, AlgorithmBase, Step
from ssl_zoo.losses import cross_entropy, squared_error
from ssl_zoo.schedules import ramp


@ALGORITHMS.register("@NAME@")
class @CLASS@(AlgorithmBase):
    """@TITLE@: two random views of an image should get one prediction, and the second view is the target.

    Args:
        weight: Of the consistency term.
        ramp_length: Length of the weight's rise, as a fraction of the run.
    """

    views = ("weak", "weak")  # the unlabelled views it needs. The first is "weak"; the recipe says what that is
    targets = (1,)  # the second view is a target only: no gradient flows through it
    weights = {"consistency": "weight"}  # which option weighs which unsupervised term

    # Options are given by keyword, have a type and a default, and are documented above. `facts` has the number of classes K
    # and of rows N, the labelled rows with their labels, and the unlabelled rows.
    def __init__(self, net, facts, *, weight: float = 30.0, ramp_length: float = 0.3):
        super().__init__(net, facts)
        self.weight, self.ramp_length = weight, ramp_length
        # A teacher is a submodule: self.teacher = ssl_zoo.ema.Teacher(net, decay). A memory is a buffer with its full shape:
        # self.register_buffer("memory", torch.zeros(facts.rows, facts.classes)). So state_dict() is the checkpoint.

    # Reads state and writes none; no .item(), no `if` on a tensor's value. `progress` is the fraction of the run that is done.
    def loss(self, batch, progress):
        own, other = batch.u  # (U, C, H, W) each: two views of the rows batch.u_index
        labeled, own, other = self.student_logits(batch.x, own, other)  # (B, K), (U, K), (U, K), from one forward pass
        supervised = cross_entropy(labeled, batch.y)
        consistency = squared_error(own.softmax(dim=1), other.softmax(dim=1).detach())  # detached: the target
        weight = self.weight * ramp(progress, "sigmoid", self.ramp_length)
        total = supervised + weight * consistency
        return Step(total, {"supervised": supervised, "consistency": consistency, "weight": weight})

    # `def after_step(self, seen)` writes the state, after the optimiser's step; `seen` is the third part of the Step above, such
    # as {"index": batch.u_index, "probabilities": own.detach()}. `def eval_net(self)` returns what is scored, if it is not the
    # net, such as self.teacher.net.
'''

TEST = '''"""Is @NAME@ right? Run this file, or pytest."""

from ssl_zoo.testing import check_algorithm

from @MODULE@ import @CLASS@


def test_@MODULE@():
    check_algorithm(@CLASS@)


if __name__ == "__main__":
    print(check_algorithm(@CLASS@))
'''

RECIPE = """# The options of @NAME@, to be laid on top of a recipe: --recipe digits --recipe @MODULE@.yaml

algorithms:
  @KEY@: {weight: 30, ramp_length: 0.3}  # where each number comes from
"""


def files(name: str) -> dict[str, str]:
    """What to write for a method of this name: file name -> text.

    Raises:
        InputError: The name cannot be that of a method and of a Python module.
    """
    module = re.sub(r"[-_\s]+", "_", name.strip()).lower()
    if not re.fullmatch(r"[a-z]\w*[a-z0-9]", module, re.ASCII) or keyword.iskeyword(module):
        raise InputError(f"'{name}' cannot be the name of a method; use letters, digits and -, as in my-method")
    if importlib.util.find_spec(module) is not None and not Path(f"{module}.py").exists():
        raise InputError(f"{module}.py would hide another module called '{module}'; choose another name")
    words, slug = module.split("_"), module.replace("_", "-")
    values = {
        "NAME": slug,
        "KEY": slug if yaml.safe_load(slug) == slug else f'"{slug}"',  # `on` would be a truth value
        "MODULE": module,
        "CLASS": "".join(word[0].upper() + word[1:] for word in words),
        "TITLE": " ".join(words).capitalize(),
    }
    texts = {f"{module}.py": METHOD, f"test_{module}.py": TEST, f"{module}.yaml": RECIPE}
    return {file: re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text) for file, text in texts.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    p = argparse.ArgumentParser(
        prog="python -m ssl_zoo.new", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("name", help="of the method, such as my-method")
    name = p.parse_args(argv).name
    try:
        texts = files(name)
        _check_free(name, texts)
    except InputError as error:
        print(f"python -m ssl_zoo.new: {error}", file=sys.stderr)
        return 2
    for file, text in texts.items():
        Path(file).write_text(text, encoding="utf-8")
    method, test, recipe = texts
    run = Path(__file__).parent.parent / "benchmarks" / "run.py"
    runner = _shown(run) if run.is_file() else "benchmarks/run.py"
    slug = method.removesuffix(".py").replace("_", "-")
    command = f"python {runner} --plugin {method} --alg {slug} --net wrn28_2"
    print(
        f"{method}: the method, working as it is; change it\n"
        f"{test}: its test, the conformance check. Run it:\n"
        f"    python {test}\n"
        f"{recipe}: its options as a recipe. Train it with its defaults, then with the recipe:\n"
        f"    {command}\n"
        f"    {command} --recipe digits --recipe {recipe} --seed 1"
    )
    return 0


def _check_free(name: str, texts: dict[str, str]) -> None:
    try:
        taken = ALGORITHMS.resolve(name)
    except InputError:
        taken = None
    if taken is not None:
        raise InputError(f"'{name}' is the method {taken.target.__module__}.{taken.target.__qualname__}; choose another name")
    there = [file for file in texts if Path(file).exists()]
    if there:
        raise InputError(f"{', '.join(there)} exists already and is not overwritten; choose another name or folder")


def _shown(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


if __name__ == "__main__":
    sys.exit(main())
