"""Who may import whom (the rooms of the house): walks the imports of every file and fails on any other arrow."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "ssl_zoo"
LEAVES = {"errors", "registry", "batch", "seeds", "losses", "schedules", "ema", "ranks", "settings", "files"}
ALLOWED = {  # room -> the modules of ssl_zoo that it may import
    "errors": set(),
    "registry": {"errors"},
    "batch": set(),
    "seeds": set(),
    "losses": {"errors"},
    "schedules": {"errors"},
    "ema": {"errors"},
    "ranks": set(),
    "settings": {"errors"},
    "files": set(),
    "algorithms": {"algorithms", "batch", "losses", "schedules", "ema", "ranks", "registry", "errors"},
    "nets": {"nets", "ranks", "registry", "errors"},
    "data": {"data", "batch", "files", "registry", "seeds", "errors"},
    "train": {"train", "files", "algorithms.base", "batch", "ema", "ranks", "schedules", "seeds", "losses", "settings", "errors"},
    "config": {"registry", "settings", "errors"},
    "presets": {"config", "registry", "errors"},
    "results": {"errors", "files", "registry", ""},
    "plugins": {"algorithms.base", "data.augment", "trials", "registry", "errors"},
    "trials": {"data.form"},
    "testing": {"", "testing", "algorithms.base", "batch", "data", "ema", "ranks", "nets", "registry", "seeds", "errors"},
    "new": {"templates", "registry", "errors"},
    "templates": {"templates"},
    "__init__": {"algorithms", "data", "nets", "batch", "errors", "registry"},
}
EXTERNAL = {  # room -> what it may import beside the standard library; the leaves: torch alone
    **{leaf: {"torch"} for leaf in LEAVES},
    "settings": set(),
    "files": set(),
    "registry": set(),
    "errors": set(),
    "algorithms": {"torch"},
    "nets": {"torch", "torchvision"},
    "data": {"torch", "torchvision", "numpy", "PIL", "sklearn", "tqdm", "scipy"},
    "train": {"torch", "numpy", "sklearn", "tensorboard", "tqdm"},
    "config": {"yaml", "jsonargparse", "docstring_parser"},
    "presets": set(),
    "results": {"torch"},
    "plugins": set(),
    "trials": {"torch"},
    "templates": set(),
    "testing": {"torch", "numpy", "joblib", "cloudpickle", "docstring_parser"},
    "new": {"yaml"},
    "__init__": set(),
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "ssl_zoo" else {node.module}
    return found


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_arrow_is_one_of_the_house():
    import sys

    for path in ROOT.rglob("*.py"):
        here = room(path)
        assert here in ALLOWED, f"{path} is a room that the house does not have"
        for module in imports(path):
            top, _, rest = module.partition(".")
            if top == "ssl_zoo":
                assert any(rest == may or rest.startswith(f"{may}.") for may in ALLOWED[here]), f"{path} imports {module}"
            elif top not in sys.stdlib_module_names:
                assert top in EXTERNAL[here], f"{path} imports {module}"


def test_methods_import_only_the_base_of_their_siblings():
    for path in (ROOT / "algorithms").glob("*.py"):
        if path.stem not in ("__init__", "base"):
            siblings = {module for module in imports(path) if module.startswith("ssl_zoo.algorithms")}
            assert siblings == {"ssl_zoo.algorithms.base"}, path


def test_the_data_layer_never_sees_a_methods_name():
    from ssl_zoo import ALGORITHMS

    for path in [*(ROOT / "data").glob("*.py"), *(ROOT / "train").glob("*.py")]:
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not words & set(ALGORITHMS.names()), path


def test_slow_packages_are_imported_where_they_are_needed():
    """So that `--list` and `--help` are quick."""
    import subprocess
    import sys

    slow = ["torchvision", "sklearn", "tensorboard", "scipy"]
    code = f"import sys, ssl_zoo.config, ssl_zoo.train.trainer; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
