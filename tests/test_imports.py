"""Who may import whom (the rooms of the house): walks the imports of every file and fails on any other arrow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_zoo import provenance

ROOT = Path(__file__).parent.parent / "ssl_zoo"
LEAVES = {
    *("errors", "registry", "batch", "seeds", "losses", "schedules", "ema", "heads", "ranks", "groups", "settings", "files"),
    *("trials", "targets", "averages", "mixing", "adversarial"),
}
RUN = {
    "config",
    "recipes",
    "presets",
    "train",
    "data",
    "provenance",
    "device",
    "plugins",
    "files",
    "settings",
    "registry",
    "seeds",
}
ALLOWED = {  # room -> the modules of ssl_zoo that it may import
    "errors": set(),
    "registry": {"errors", "trials"},
    "batch": set(),
    "seeds": set(),
    "losses": {"errors", "ranks"},
    "targets": {"losses", "errors"},
    "averages": {"ranks", "errors"},
    "mixing": {"ema", "losses"},
    "adversarial": {"losses"},
    "schedules": {"errors"},
    "ema": {"errors"},
    "heads": {"errors"},
    "ranks": set(),
    "groups": {"errors"},
    "settings": {"groups", "errors"},
    "files": set(),
    "trials": {"data.form"},
    "device": {"ranks", "errors"},
    "algorithms": {
        *("algorithms", "batch", "losses", "targets", "averages", "mixing", "adversarial", "schedules", "ema", "heads", "ranks"),
        *("registry", "errors"),
    },
    "nets": {"nets", "heads", "ranks", "registry", "errors"},
    "data": {"data", "device", "batch", "files", "registry", "seeds", "errors"},
    "train": {
        *(
            "train",
            "algorithms.base",
            "algorithms.baseline",
            "data.pipeline",
            "heads",
            "batch",
            "device",
            "ema",
            "errors",
            "files",
            "losses",
            "ranks",
            "schedules",
            "seeds",
        ),
        "settings",
    },
    "recipes": {"registry", "errors"},
    "presets": {"recipes", "registry", "errors"},
    "near": {"registry", "settings", "errors"},
    "options": {"near", "registry", "errors"},
    "config": {"options", "near", "presets", "recipes", "registry", "settings", "errors"},
    "ladders": {"recipes", "registry", "errors"},
    "provenance": {""},
    "plugins": {"algorithms", "data", "nets", "trials", "registry", "errors"},
    "runs": {
        "runs",
        "algorithms.base",
        "algorithms.baseline",
        "heads",
        "batch",
        "ema",
        "ranks",
        "seeds",
        "errors",
        "trials",
        *RUN,
    },
    "pages": {"", "pages", "errors"},
    "using": {"using", "pages", "runs", "data", "device", "registry", "files", "config", "recipes", "settings", "errors"},
    "using.report": {  # a page of what is known, so also of tables
        *("using", "pages", "runs", "data", "tables", "config", "recipes", "settings", "files", "errors"),
    },
    "sweeps": {
        "sweeps",
        "config",
        "recipes",
        "runs",
        "train.evaluate",
        "train.trainer",
        "data.dataset",
        "device",
        "plugins",
        "settings",
        "errors",
    },
    "tables": {
        *("tables", "pages", "runs.confusion", "runs.row", "runs.folder", "ladders", "config", "recipes", "provenance", "files"),
        *("settings", "registry", "errors"),
    },
    "tables.pictures": {  # the only one that asks a net
        *("tables", "runs.row", "runs.confusion", "data.sources", "train.evaluate", "errors"),
    },
    "testing": {
        "",
        "testing",
        "algorithms.base",
        "algorithms.baseline",
        "batch",
        "data",
        "ema",
        "ranks",
        "nets",
        "registry",
        "seeds",
        "errors",
        "trials",
    },
    "templates": {"templates"},
    "cli": {
        *("cli", "sweeps", "tables", "using", "runs", "ladders", "config", "near", "presets", "recipes", "plugins", "files"),
        *("registry", "ranks", "settings", "errors", "templates", "train.parallel"),
    },
    "new": {"cli.new"},
    "api": {"runs", "config", "recipes", "plugins", "settings", "data", "errors"},
    "estimator": {"estimator", "api", "runs", "data", "device", "settings", "errors"},
    "__init__": {"estimator", "algorithms", "api", "data", "nets", "batch", "errors", "registry"},
    "__main__": {"", "cli", "registry", "errors"},
}
EXTERNAL = {  # room -> what it may import beside the standard library; the leaves: torch alone
    **{leaf: {"torch"} for leaf in LEAVES},
    "settings": set(),
    "groups": set(),
    "files": set(),
    "registry": set(),
    "errors": set(),
    "device": {"torch"},
    "algorithms": {"torch", "numpy", "sklearn"},
    "nets": {"torch", "torchvision", "timm", "peft", "huggingface_hub", "safetensors"},
    "data": {"torch", "torchvision", "numpy", "PIL", "sklearn", "tqdm", "scipy", "filelock", "pillow_heif"},
    "train": {"torch", "numpy", "sklearn", "threadpoolctl", "tensorboard", "tqdm", "timm", "wandb", "mlflow", "trackio"},
    "recipes": {"yaml"},
    "near": set(),
    "options": {"jsonargparse"},
    "config": {"docstring_parser"},
    "presets": set(),
    "ladders": set(),
    "provenance": set(),
    "plugins": set(),
    "runs": {"torch", "numpy", "filelock", "safetensors", "scipy"},
    "pages": set(),
    "using": {"torch", "numpy", "filelock", "pyarrow", "sklearn", "PIL", "onnx", "onnxruntime"},
    "using.report": {"numpy", "PIL", "cleanlab"},
    "sweeps": {"torch", "tqdm", "ray", "submitit", "cloudpickle"},
    "tables": {"yaml", "scipy"},
    "tables.pictures": {"numpy", "torch", "matplotlib"},
    "testing": {"torch", "numpy", "joblib", "cloudpickle", "docstring_parser"},
    "templates": set(),
    "cli": {"torch", "tqdm", "yaml"},
    "new": set(),
    "api": set(),
    "estimator": {"torch", "numpy", "sklearn"},
    "__init__": set(),
    "__main__": set(),
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
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ALLOWED else parts[0]


def test_every_arrow_is_one_of_the_house():
    for path in ROOT.rglob("*.py"):
        here = room(path)
        assert here in ALLOWED, f"{path} is a room that the house does not have"
        for module in imports(path):
            top, _, rest = module.partition(".")
            if top == "ssl_zoo":
                assert any(rest == may or rest.startswith(f"{may}.") for may in ALLOWED[here]), f"{path} imports {module}"
            elif top not in sys.stdlib_module_names:
                assert top in EXTERNAL[here], f"{path} imports {module}"


def test_nothing_but_command_lines_and_scripts_imports_a_command_line():
    for path in ROOT.rglob("*.py"):
        if room(path) not in ("cli", "__main__", "new"):
            assert not [module for module in imports(path) if module.startswith("ssl_zoo.cli")], path


def test_scripts_are_a_docstring_and_a_call():
    for name in ("run", "sweep", "table", "plot", "compare", "ladder", "share"):
        lines = (ROOT.parent / f"benchmarks/{name}.py").read_text().splitlines()
        assert len(lines) <= 9 and f"from ssl_zoo.cli.{name} import main" in lines, name


def test_methods_import_only_the_bases_of_their_siblings():
    bases = {"base", "baseline", "linear"}  # each on the one before
    for path in (ROOT / "algorithms").glob("*.py"):
        if path.stem not in ("__init__", "base"):
            siblings = {module for module in imports(path) if module.startswith("ssl_zoo.algorithms")}
            assert siblings and siblings <= {f"ssl_zoo.algorithms.{name}" for name in bases}, path


def test_the_data_layer_never_sees_a_methods_name():
    from ssl_zoo import ALGORITHMS

    for path in [*(ROOT / "data").glob("*.py"), *(ROOT / "train").glob("*.py")]:
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not words & set(ALGORITHMS.names()), path


def reached(start: str) -> set[str]:
    """The modules that one imports, and those that these import, without what packages import for their names."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        path = ROOT / f"{name}.py"
        if name not in seen and path.is_file():
            seen.add(name)
            todo += [module.removeprefix("ssl_zoo.").replace(".", "/") for module in imports_of_names(path)]
    return seen


def imports_of_names(path: Path) -> set[str]:
    """As `imports`, with what may be a module of a package that is imported from."""
    found = imports(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("ssl_zoo"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for module in found if module.startswith("ssl_zoo.")}


def test_the_code_of_a_result_is_what_a_run_executes():
    """Not more, or a mended text stops a sweep that is half done; not less, or a number changes and nobody is told."""
    by_name = {"data/standard", "data/randaugment"}  # augmentations, which are registered
    assert {*provenance.EXECUTED} == (reached("runs/execute") | by_name) - {*provenance.APART}
    assert {*provenance.APART} <= reached("runs/execute")
    assert len(provenance.EXECUTED) == len({*provenance.EXECUTED})
    for name in provenance.EXECUTED:
        assert not name.startswith(("cli/", "sweeps/", "tables/", "testing/")) and (ROOT / f"{name}.py").is_file()


def test_the_code_of_a_method_holds_every_formula_that_one_imports():
    """What several methods share is part of each one's code, or a number changes and nobody is told."""
    shared = {module.removeprefix("ssl_zoo.") for path in (ROOT / "algorithms").glob("*.py") for module in imports(path)}
    shared = {name for name in shared if (ROOT / f"{name}.py").is_file()} - {"errors", "registry", "plugins"}
    assert shared <= {*provenance.FORMULAS}, "add it to ssl_zoo.provenance.FORMULAS"
    assert all((ROOT / f"{name}.py").is_file() for name in provenance.FORMULAS)


def loaded(code: str, packages: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print([name for name in {packages} if name in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def test_slow_packages_are_imported_where_they_are_needed():
    """So that `--list` and `--help` are quick."""
    slow = ["torchvision", "sklearn", "tensorboard", "scipy", "matplotlib", "torch._dynamo", "torch._inductor"]
    assert loaded("import ssl_zoo.config, ssl_zoo.train.trainer, ssl_zoo.runs.execute, ssl_zoo.cli.run", slow) == "[]"
    assert loaded("import ssl_zoo", [*slow, "ssl_zoo.runs.execute", "ssl_zoo.tables", "jsonargparse"]) == "[]"


def test_the_version_and_the_help_do_not_wait_for_torch():
    """Nor does the import of the package; its names, and what is registered, come when they are asked for."""
    for word in ("--version", "--help"):
        assert loaded(f"from ssl_zoo.__main__ import main; assert main(['{word}']) == 0", ["torch", "numpy", "yaml"]) == "[]"
    assert loaded("import ssl_zoo", ["torch", "numpy", "ssl_zoo.registry"]) == "[]"
    for asked in ("from ssl_zoo import NETS", "from ssl_zoo.registry import NETS", "import ssl_zoo; NETS = ssl_zoo.NETS"):
        assert loaded(f"{asked}; assert 'wrn28_2' in NETS.names()", ["ssl_zoo.nets"]) == "['ssl_zoo.nets']"


def test_every_name_of_the_package_is_there():
    import ssl_zoo

    assert {*ssl_zoo.__all__} <= {*dir(ssl_zoo)} and all(getattr(ssl_zoo, name) is not None for name in ssl_zoo.__all__)
    with pytest.raises(AttributeError, match="module 'ssl_zoo' has no attribute 'lode'"):
        ssl_zoo.lode  # noqa: B018


def test_a_run_that_compiles_nothing_loads_no_compiler(tmp_path):
    words = ["--net", "smallnet", "--alg", "supervised", "--steps", "2", "--device", "cpu", "--out", str(tmp_path / "run")]
    code = f"from ssl_zoo.cli.run import main; assert main({words}) == 0"
    assert loaded(code, ["torch._inductor", "torch._dynamo", "torchvision"]) == "[]"
    again = f"from ssl_zoo.cli.run import main; assert main({words}) == 0"  # it is finished, and is shown
    assert loaded(again, ["torch._inductor", "torch._dynamo", "torchvision", "tensorboard", "sklearn", "scipy"]) == "[]"


def test_prose_is_in_short_lines():
    """Docstrings and comments that stand alone: at most 120 characters."""
    import io
    import tokenize

    long = []
    for path in [*ROOT.rglob("*.py"), *(ROOT.parent / "benchmarks").rglob("*.py")]:
        text = path.read_text()
        lines = text.splitlines()
        prose = {
            number
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
            for number in range(node.body[0].lineno, node.body[0].end_lineno + 1)
        }
        comments = (token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT)
        prose |= {token.start[0] for token in comments if token.line.strip().startswith("#")}
        long += [f"{path}:{number}" for number in sorted(prose) if len(lines[number - 1]) > 120]
    assert not long


def test_files_and_functions_are_short():
    """A file that grows past 300 lines, or a function past 50, is usually two ideas."""
    for path in [*ROOT.rglob("*.py"), *(ROOT.parent / "benchmarks").rglob("*.py")]:
        text = path.read_text()
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno + 1 <= 50, f"{path}:{node.lineno} {node.name}"
