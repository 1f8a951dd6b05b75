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
    "data": {"data", "train.device", "batch", "files", "registry", "seeds", "errors"},
    "train": {"train", "files", "algorithms.base", "batch", "ema", "ranks", "schedules", "seeds", "losses", "settings", "errors"},
    "config": {"registry", "settings", "errors", "cli.parser"},  # the last until every command line is in `cli`
    "presets": {"config", "registry", "errors"},
    "results": {"errors", "files", "registry", ""},
    "plugins": {"algorithms.base", "data.augment", "registry", "errors"},
    "testing": {"", "testing", "algorithms.base", "batch", "data", "ema", "ranks", "nets", "registry", "seeds", "errors"},
    "new": {"registry", "errors"},
    "ladders": {"config", "registry", "errors"},
    "tables": {"tables", "results", "config", "files", "errors"},
    "tables.pictures": {"tables", "results", "data.sources", "train.evaluate", "errors"},  # the only one that asks a net
    "cli": {"cli", "tables", "results", "plugins", "files", "errors"},
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
    "testing": {"torch", "numpy", "joblib", "cloudpickle", "docstring_parser"},
    "new": {"yaml"},
    "ladders": set(),
    "tables": {"yaml", "scipy"},
    "tables.pictures": {"numpy", "torch", "matplotlib"},
    "cli": set(),
    "__init__": set(),
}


def imports(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node, path)}


def imported(node: ast.AST, path: Path) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}: imports are absolute"
        return {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "ssl_zoo" else {node.module}
    return set()


def room(path: Path) -> str:
    """Return the innermost room that the house has a line for: `tables.pictures` before `tables`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return next((name for n in (2, 1) if (name := ".".join(parts[:n])) in ALLOWED), parts[0])


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


def test_only_pictures_know_matplotlib_and_only_when_one_is_drawn():
    """So that tables need no matplotlib, and `--help` is quick."""
    for path in ROOT.rglob("*.py"):
        top = {name for node in ast.parse(path.read_text()).body for name in imported(node, path)}
        assert not any(name.split(".")[0] == "matplotlib" for name in top), path


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
