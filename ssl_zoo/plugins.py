"""Methods, nets, data sets and augmentations: those of the package, which this registers, and those from outside.

From outside there are two ways in, and no third: a file or module that the user names (`--plugin my_method.py`), and a
package that the user has installed and that declares an entry point of one of the groups below.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import string
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ssl_zoo import algorithms, data, nets, trials
from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.data.augment import Augmentation
from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, REGISTRIES, Entry, Registry, is_ours, raised, registering

GROUPS = {
    "ssl_zoo.algorithms": ALGORITHMS,
    "ssl_zoo.nets": NETS,
    "ssl_zoo.datasets": DATASETS,
    "ssl_zoo.augmentations": AUGMENTATIONS,
}
OURS = (algorithms, data, nets)  # importing them registers them
BASES = {"algorithm": AlgorithmBase, "augmentation": Augmentation}  # nets and data sets may be any class or function
ARGUMENTS = {"algorithm": ("net", "facts"), "net": ("num_classes", "in_chans", "image_size"), "dataset": ("root",)}

for _registry, _trial in ((ALGORITHMS, trials.method), (NETS, trials.net), (DATASETS, trials.dataset)):
    _registry.trial = _trial
AUGMENTATIONS.trial = trials.augmentation

_loaded: set[object] = set()  # paths, modules and entry points, so that none is loaded twice


def load(names: Iterable[str]) -> None:
    """Load what is installed, and what is named.

    Args:
        names: As of `load_plugin`.

    Raises:
        InputError: As `load_installed` and `load_plugin`.
    """
    load_installed()
    for name in names:
        load_plugin(name)


def load_plugin(name: str) -> None:
    """Import a file or a module, which registers what it holds. A second time it is not imported again.

    Args:
        name: A path that ends in `.py` (`~` is the home folder), or the dotted name of a module.

    Raises:
        InputError: It is not there, cannot be imported, takes a name that is taken, registers nothing, or registers a
            method that is no AlgorithmBase. The message names the plug-in; nothing of it stays registered or imported.
    """
    if name.endswith(".py"):
        path = Path(os.path.expanduser(name))
        _register(path.resolve(), path.name, name, path.stem, lambda: _import_file(path))
    else:
        _register(name, name, name, name, lambda: _import_module(name))


def load_installed() -> None:
    """Load the entry points of every installed package, in the four groups.

    An entry point names a module that registers, or an object, which is registered under the entry point's name unless
    its module has done so. A second time nothing is loaded again.

    Raises:
        InputError: One of them cannot be loaded; the message names it and its package.
    """
    for group, registry in GROUPS.items():
        for point in importlib.metadata.entry_points(group=group):
            package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value

            def load(point: importlib.metadata.EntryPoint = point, registry: Registry = registry) -> None:
                found = _run(point.load)
                if not inspect.ismodule(found) and all(entry.target is not found for entry in registry.entries()):
                    registry.register(point.name)(found)

            _register(point, package, f"'{point.name}' of the installed package {package}", point.module, load)


def provenance(parts: Mapping[str, Entry]) -> str:
    """Which parts of a run come from plug-ins, each with a hash of its source, for the result; "" if none does.

    Args:
        parts: Such as {"algorithm my-method": its entry}.
    """
    outside = {part: entry for part, entry in parts.items() if entry.origin != "ssl_zoo"}
    return "; ".join(f"{part}: {entry.origin} {_source_hash(entry.target)}" for part, entry in sorted(outside.items()))


def blame(error: BaseException, parts: Mapping[str, Entry] | None = None) -> InputError | None:
    """What the code of a plug-in raised while a run went on, as one line for the user; None, if it was not a plug-in's.

    Args:
        error: Anything that a run ended with. Its traceback tells through whose code it went.
        parts: The parts of the run, as of `provenance`. If one of them is a plug-in's though the error arose elsewhere,
            such as in the trainer that is handed a wrong result, the line says so, and how to find out.
    """
    if is_ours(error) or not isinstance(error, Exception):
        return None
    for code in reversed([frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]):
        owners = [(r, entry) for r, entry in _outside() if _holds(entry.target, code.co_filename)]
        named = [(r, entry) for r, entry in owners if code.co_qualname.startswith(_qualname(entry.target))]
        for registry, entry in named or owners:
            return raised(registry.kind, entry, error)
    for part, entry in sorted((parts or {}).items()):
        if entry.origin != "ssl_zoo":
            kind = part.partition(" ")[0]
            first, frame = next(iter(str(error).splitlines()), ""), traceback.extract_tb(error.__traceback__)[-1]
            return InputError(
                f"plug-in {entry.origin}: with the {part} a run ended in {type(error).__name__}: {first} ({frame.filename}, line "
                f"{frame.lineno}); ssl_zoo.testing.check_{kind}({_qualname(entry.target)}) says what it may be"
            )
    return None


def _register(key: object, origin: str, what: str, module: str, load: Callable[[], None]) -> None:
    """Load, and check what came of it.

    At least one entry of that origin or from that module, each of the right type.
    """
    if key in _loaded:
        return
    modules = dict(sys.modules)
    try:
        with registering(origin):
            load()
            of_it = [
                (registry, entry)
                for registry in REGISTRIES
                for entry in registry.entries()
                if entry.origin == origin or f"{getattr(entry.target, '__module__', '')}.".startswith(f"{module}.")
            ]
            if not of_it:
                raise InputError("it registers nothing; decorate its class, as in @ALGORITHMS.register('my-method')")
            for registry, entry in of_it:
                _check(registry, entry)
    except InputError as error:
        for name in {*sys.modules} - {*modules}:  # so that, mended, it registers anew; what belongs to others stays
            if _belongs(sys.modules[name], module, key):
                del sys.modules[name]
        raise InputError(f"plug-in {what}: {error}") from error
    _loaded.add(key)


def _belongs(module: ModuleType, plugin: str, key: object) -> bool:
    """Whether a module is a plug-in's: in its package, or, of a plug-in in one file, beside it."""
    file = getattr(module, "__file__", None)
    beside = isinstance(key, Path) and file is not None and Path(file).parent == key.parent
    return beside or f"{module.__name__}.".startswith(f"{plugin.partition('.')[0]}.")


def _check(registry: Registry, entry: Entry) -> None:
    base = BASES.get(registry.kind)
    if base is not None and not (inspect.isclass(entry.target) and issubclass(entry.target, base)):
        where = f"{base.__module__}.{base.__name__}"
        raise InputError(f"the {registry.kind} '{entry.name}' is not a class derived from {where}; derive it")
    if not callable(entry.target):
        raise InputError(f"the {registry.kind} '{entry.name}' is a {type(entry.target).__name__}; register a class or a function")
    try:
        _check_signature(registry.kind, entry)
    except InputError:
        raise
    except (TypeError, ValueError, NameError) as error:  # a type that is not there, or no signature at all
        raise InputError(f"the {registry.kind} '{entry.name}' cannot be called: {error}") from error


def _check_signature(kind: str, entry: Entry) -> None:
    """Whether it can be called as a run does, and its options be read from a recipe."""
    signature, wanted = inspect.signature(entry.target), ARGUMENTS.get(kind, ())
    given = {field for _, field, *_ in string.Formatter().parse(entry.name) if field}  # what the name of a family carries
    hints = typing.get_type_hints(entry.target.__init__ if inspect.isclass(entry.target) else entry.target)
    for name, parameter in entry.options.items():
        if name not in given and (parameter.default is parameter.empty or name not in hints):
            raise InputError(
                f"the {kind} '{entry.name}' has an option '{name}' without type or default; write {name}: float = 1.0"
            )
    try:
        by_name = kind == "algorithm"
        signature.bind(*(() if by_name else wanted), **dict.fromkeys((*given, *(wanted if by_name else ()))))
    except TypeError as error:
        shape = f"({', '.join([*wanted, '*'])}, option=...)"
        raise InputError(f"the {kind} '{entry.name}' cannot be called as {shape}: {error}") from error


def _import_file(path: Path) -> None:
    if not os.path.isfile(path):
        raise InputError(f"there is no such file in {Path.cwd()}")
    name = path.stem
    if not name.isidentifier():
        raise InputError(f"'{name}' cannot be the name of a module; rename the file with letters, digits and _ only")
    there = getattr(sys.modules.get(name), "__file__", None)
    if there is not None and Path(there).resolve() == path.resolve():
        return  # imported before
    taken = None if name in sys.modules else importlib.util.find_spec(name)
    if name in sys.modules or (taken is not None and Path(taken.origin or "").resolve() != path.resolve()):
        raise InputError(f"there is another module called '{name}'; rename the file")
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None  # as it is for every .py
    _beside(path.resolve().parent)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # option types are looked up there by the module's name
    _run(lambda: spec.loader.exec_module(module))


def _import_module(name: str) -> None:
    _beside(Path.cwd())
    _run(lambda: importlib.import_module(name))


def _beside(folder: Path) -> None:
    """Let a plug-in import its neighbours; at the end of the path, where they can hide nothing else."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _run(load: Callable[[], Any]) -> Any:
    """Run somebody's module; whatever it raises becomes one line with the place."""
    try:
        return load()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        place = f"{error.filename}, line {error.lineno}" if isinstance(error, SyntaxError) else ""
        place = place or (f"{frames[-1].filename}, line {frames[-1].lineno}" if frames[-1].filename != __file__ else "")
        first = next(iter(str(error).splitlines()), "")
        raise InputError(f"it cannot be imported: {type(error).__name__}: {first}{f' ({place})' if place else ''}") from error


def _outside() -> list[tuple[Registry, Entry]]:
    """Everything registered that is not the package's own."""
    return [(registry, entry) for registry in REGISTRIES for entry in registry.entries() if entry.origin != "ssl_zoo"]


def _qualname(target: Any) -> str:
    return getattr(target, "__qualname__", "?")


def _files(target: Any) -> set[str]:
    """The file that holds a class or function, and those beside it that hold its bases.

    In a package, the files of all loaded modules of the package.
    """
    package, dot, _ = getattr(target, "__module__", "").partition(".")
    modules = [m for name, m in sorted(sys.modules.items()) if dot and f"{name}.".startswith(f"{package}.")]
    own = inspect.getfile(target)
    bases = inspect.getmro(target) if inspect.isclass(target) else ()
    files = {getattr(sys.modules.get(base.__module__), "__file__", None) for base in bases}
    beside = {file for file in files if file is not None and Path(file).parent == Path(own).parent}
    return {*filter(None, (getattr(module, "__file__", None) for module in modules)), own} | beside


def _holds(target: Any, file: str) -> bool:
    """Whether a file belongs to a class or function."""
    try:
        return file in _files(target)
    except (TypeError, OSError):
        return False


def _source_hash(target: Any) -> str:
    """12 hex digits over the files of a class or function."""
    try:
        sources = [Path(file).read_bytes() for file in sorted(_files(target))]
    except (TypeError, OSError):  # built in, or made in a session without a file
        return "without source"
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]
