"""Names for classes: `@NETS.register("resnet18")`, then `NETS.create("ResNet-18", ...)`."""

import contextlib
import difflib
import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError, RunError


def close(word: str, known: Iterable[str]) -> list[str]:
    """The known words most like `word`, at most three."""
    spelled = {name.casefold(): name for name in known}
    return [spelled[name] for name in difflib.get_close_matches(word.casefold(), list(spelled), n=3, cutoff=0.6)]


def asked(names: Iterable[str]) -> str:
    """`"did you mean 'a' or 'b'? "`, or an empty string."""
    found = [*dict.fromkeys(names)]
    return f"did you mean {' or '.join(map(repr, found))}? " if found else ""


def near_miss(word: str, known: Iterable[str]) -> str:
    """`"did you mean 'a' or 'b'? "` for the known words most like `word`, or an empty string."""
    return asked(close(word, known))


def summary(target: Callable[..., Any]) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(target) or "").partition("\n")[0]


def folded(name: str) -> str:
    """A name without what does not count in it: case, `-` and `_`."""
    return re.sub(r"[-_]", "", name).casefold()


class Entry(NamedTuple):
    """What a name stands for."""

    name: str  # the canonical spelling
    target: Callable[..., Any]
    fixed: dict[str, Any]  # keyword arguments that the name itself carries, such as depth and width
    origin: str = "ssl_zoo"  # where it comes from: the package itself, a plug-in's file, or an installed package

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters of the target that are the user's to set."""
        parameters = inspect.signature(self.target).parameters.values()
        return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in self.fixed}

    @property
    def summary(self) -> str:
        """The first line of the target's docstring."""
        return summary(self.target)


def is_ours(error: BaseException) -> bool:
    """Whether an error says enough as it is: it is a message to the user, or memory ran out, whoever asked for it."""
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return memory or isinstance(error, InputError | RunError)


def raised(kind: str, entry: Entry, error: BaseException) -> InputError:
    """What a part from outside the package raised, as one line: whose it is, what was raised, and where in its file.

    Args:
        kind: What the entry is, such as "net".
        entry: Whose code it is.
        error: What it raised; notes on it are said too.
    """
    first = next(filter(None, (line.strip() for line in str(error).splitlines())), "")
    what = f"{type(error).__name__}{': ' if first else ''}{first}" + "".join(f" ({note})" for note in _notes(error))
    return InputError(f"plug-in {entry.origin}: the {kind} '{entry.name}' raised {what}{_place(entry.target, error)}")


def _notes(error: BaseException) -> list[str]:
    """What was noted on an error by whoever it passed through."""
    return getattr(error, "__notes__", [])


def _place(target: Callable[..., Any], error: BaseException) -> str:
    """` (file, line n)`: the last line of the target's file that an error went through, or its first."""
    try:
        file = inspect.getfile(target)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f" ({file}, line {lines[-1] if lines else inspect.getsourcelines(target)[1]})"
    except (TypeError, OSError):  # made where there is no file
        return ""


class _Family(NamedTuple):
    template: str
    pattern: re.Pattern[str]
    example: str
    target: Callable[..., Any]
    origin: str

    def entry(self, name: str) -> Entry | None:
        match = self.pattern.fullmatch(name.strip().casefold())
        if match is None or len(name) > 100:  # a number of thousands of digits is no number to Python
            return None
        fixed = {key: int(value) if value.isdecimal() else value.replace("-", "_") for key, value in match.groupdict().items()}
        return Entry(self.template.format(**fixed), self.target, fixed, self.origin)


class Registry:
    """A mapping from names to classes or functions, filled by decorators.

    Lookup ignores case, `-` and `_`, so `mean-teacher`, `MeanTeacher` and `meanteacher` are one name.

    Args:
        kind: What the entries are, for messages ("algorithm").
        filled_by: The module that registers the package's own, imported at the first look: whoever asks for no name
            does not wait for torch.
    """

    def __init__(self, kind: str, filled_by: str | None = None):
        self.kind, self._filled_by = kind, filled_by
        self._entries: dict[str, Entry] = {}  # by key, aliases included
        self._families: list[_Family] = []
        self._hints: list[Callable[[str], list[str]]] = []
        self._origin: str | None = None  # of what is being registered, within `registering`
        self.trial: Callable[[Any, tuple[Any, ...]], str | None] | None = None  # of what a plug-in makes: what is wrong with it

    def register(self, name: str, *aliases: str) -> Callable[[Any], Any]:
        """Decorator: give a class or function a name, and perhaps aliases.

        Raises:
            InputError: A name, or another spelling of it, is taken.
        """

        def decorate(target: Any) -> Any:
            self._fill_for(target)
            spellings = {folded(spelling): spelling for spelling in (name, *aliases)}
            for spelling in spellings.values():
                taken = self._find(spelling)
                if taken is not None:
                    where = f"{taken.target.__module__}.{taken.target.__qualname__}"
                    raise InputError(
                        f"{self.kind} '{spelling}' is registered already, as '{taken.name}' by {where}; choose another name"
                    )
            self._entries.update(dict.fromkeys(spellings, Entry(name, target, {}, self._origin_of(target))))
            return target

        return decorate

    def register_family(self, template: str, pattern: str, example: str) -> Callable[[Any], Any]:
        """Decorator: one target for every name that matches a pattern, such as `wrn{depth}_{width}`.

        Args:
            template: The canonical spelling, with the pattern's named groups as fields.
            pattern: Regular expression for the whole lower-case name; its named groups become keyword arguments
                (numbers as int).
            example: One name of the family, listed by `names`.

        Raises:
            InputError: The template is taken, or the example does not match the pattern.
        """

        def decorate(target: Any) -> Any:
            self._fill_for(target)
            family = _Family(template, re.compile(pattern, re.ASCII), example, target, self._origin_of(target))
            if any(other.template == template for other in self._families):
                raise InputError(f"{self.kind} family '{template}' is registered already; choose another name")
            taken = self._find(example)
            if taken is not None:
                raise InputError(f"{self.kind} '{example}' is registered already, as '{taken.name}'; choose another pattern")
            if family.entry(example) is None:
                raise InputError(f"the example '{example}' is not of the {self.kind} family '{template}'")
            self._families.append(family)
            return target

        return decorate

    def hint(self, meant: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
        """Decorator: a function from a name that is unknown here to those that it may mean, known elsewhere by it."""
        self._hints.append(meant)
        return meant

    def _origin_of(self, target: Any) -> str:
        module = getattr(target, "__module__", None) or "?"
        return self._origin or ("ssl_zoo" if module.partition(".")[0] == "ssl_zoo" else module)

    def fill(self) -> None:
        """Let the package's own be registered, if they are not yet."""
        if self._filled_by is not None:
            importlib.import_module(self._filled_by)

    def _fill_for(self, target: Any) -> None:
        """Before somebody else's is registered: its name may be taken. Ours are registered while this is filled."""
        if self._origin_of(target) != "ssl_zoo":
            self.fill()

    def resolve(self, name: str) -> Entry:
        """The entry that a name stands for.

        Raises:
            InputError: No such name; the message says the near misses, then all names.
        """
        self.fill()
        found = self._find(name)
        if found is None:
            listed = [entry.name for entry in self.entries()]
            known = [*self.names(), *(alias for alias in self._entries if alias not in map(folded, self.names()))]
            near = [meant for hint in self._hints for meant in hint(name)] or close(name, known)
            raise InputError(f"no {self.kind} is called '{name}'; {asked(near)}known: {', '.join(listed)}")
        return found

    def _find(self, name: str) -> Entry | None:
        return self._entries.get(folded(name)) or next(filter(None, (family.entry(name) for family in self._families)), None)

    def create(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Build what a name stands for.

        Raises:
            InputError: No such name; or what it stands for comes from a plug-in, and cannot be built or used.
            TypeError: An option that the target does not have; the message says the near miss, then all options.
        """
        entry = self.resolve(name)
        accepted = [p for p in inspect.signature(entry.target).parameters if p not in entry.fixed]
        for option in options:
            if option not in accepted:
                raise TypeError(
                    f"{entry.name} has no option '{option}'; {near_miss(option, accepted)}options: {', '.join(entry.options)}"
                )
        if entry.origin == "ssl_zoo":
            return entry.target(*args, **entry.fixed, **options)
        try:
            made = entry.target(*args, **entry.fixed, **options)
            wrong = self.trial(made, args) if self.trial else None
        except Exception as error:
            if is_ours(error):
                raise
            raise raised(self.kind, entry, error) from error
        if wrong:
            raise InputError(f"plug-in {entry.origin}: the {self.kind} '{entry.name}' {wrong}")
        return made

    @contextlib.contextmanager
    def replaced(self, entry: Entry) -> Iterator[None]:
        """Within it, a registered name stands for another entry."""
        before = self._entries[folded(entry.name)]
        self._entries[folded(entry.name)] = entry
        try:
            yield
        finally:
            self._entries[folded(entry.name)] = before

    def names(self) -> list[str]:
        """Every canonical name, sorted; a family stands with its example."""
        self.fill()
        return sorted({entry.name for entry in self._entries.values()} | {family.example for family in self._families})

    def entries(self) -> list[Entry]:
        """Every entry under its canonical name, a family under its template, sorted."""
        self.fill()
        families = [Entry(family.template, family.target, {}, family.origin) for family in self._families]
        return sorted({entry.name: entry for entry in [*families, *self._entries.values()]}.values(), key=lambda e: e.name)


_PARTS = "ssl_zoo.plugins"  # ours and those of others
ALGORITHMS = Registry("algorithm", _PARTS)
NETS = Registry("net", _PARTS)
DATASETS = Registry("dataset", _PARTS)
AUGMENTATIONS = Registry("augmentation", _PARTS)
REGISTRIES = (ALGORITHMS, NETS, DATASETS, AUGMENTATIONS)


@contextlib.contextmanager
def registering(origin: str) -> Iterator[None]:
    """What is registered within, in any registry, comes from `origin`.

    If an error leaves the block, nothing of it stays.
    """
    for registry in REGISTRIES:
        registry.fill()
    before = [(dict(registry._entries), list(registry._families), registry._origin) for registry in REGISTRIES]
    for registry in REGISTRIES:
        registry._origin = origin
    try:
        yield
    except BaseException:
        for registry, (entries, families, _) in zip(REGISTRIES, before, strict=True):
            registry._entries, registry._families = entries, families
        raise
    finally:
        for registry, (*_, outer) in zip(REGISTRIES, before, strict=True):
            registry._origin = outer
