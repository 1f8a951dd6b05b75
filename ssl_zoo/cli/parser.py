"""What all command lines share: how words are read, how an error is said, and which exit status it has."""

import argparse
import contextlib
import functools
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ssl_zoo import near
from ssl_zoo.errors import InputError, RunError, one_line
from ssl_zoo.registry import asked, close, folded

# What the library says of its arguments, in the words of a command line. Settings stand in it as Python has them,
# `steps=600`.
SAID = {
    "use another folder": "use another --out",
    "choose another folder": "choose another --out",
    "where a run goes is no setting, but an argument beside them": "where a run goes is said with --out",
    "the same call goes on": "the same command goes on",
}
STALE = re.compile(r"`fresh=True`(?= (?:to train|trains) )")  # what other code has made; of many runs it is the one flag for it
SETTING = re.compile(r"`([a-z_]+(?:\.[\w:-]+)*)(?:=([^`]+))?`")
FLAGS = {  # those with a flag of their own
    *("alg", "net", "dataset", "data_root", "image_size", "labels_file", "skip_broken", "strict", "labels", "draw"),
    *("test_fraction", "val_fraction", "seed", "split_seed", "steps", "minutes", "initial"),
    *("folds", "device", "threads", "deterministic", "compile", "on_nan", "fresh"),
}


BARE = {
    "data_root",
    "image_size",
    "steps",
    "test_fraction",
    "val_fraction",
    "minutes",
    "folds",
}  # those that a message may name without a value
GRID = {*FLAGS, "rerun_stale"} - {"minutes", "folds", "initial"}  # those of a command that runs many
CALLED = {"initial": "from"}  # settings whose flag has a name of its own
OTHER_WORDS = {  # for flags that are no settings, where a command has them
    "--out": "output outdir output_dir out_dir save_dir log_dir",
    "--recipe": "config cfg config_file",
    "--from": "init initial init_from load load_from from_pretrained finetune finetune_from",
    "--fresh": "overwrite force restart rerun_stale",
    "--dry-run": "print_config",
    "--print-config": "dry_run",
    "--scale": "steps num_steps epochs",
}
OURS = Path(__file__).parents[1]  # where the library's code lies
OF_RUN = ("--list", "--print-config")  # flags of one command alone that others are asked for


class Parser(argparse.ArgumentParser):
    """argparse with errors in one line, in which a word that is cut short is an unknown one.

    Args:
        at_hand: Of a command that takes settings: those that flags name, for what else may be meant.
        options: Of argparse.
    """

    def __init__(self, *, at_hand: Callable[[argparse.Namespace], Mapping[str, Any]] | None = None, **options: Any):
        super().__init__(allow_abbrev=False, **options)
        self._at_hand = at_hand

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; --help shows what can be given")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Return the flags.

        Raises:
            InputError: They are wrong, or one is unknown; the message says what may be meant.
        """
        flags, unknown = self.parse_known_args(args, namespace)
        if unknown:
            word, equals, value = unknown[0].partition("=")
            given = value if equals else unknown[1] if unknown[1:] and not unknown[1].startswith("--") else near.NO_VALUE
            words = [*(sys.argv[1:] if args is None else args)]
            before = words[words.index(unknown[0]) - 1] if unknown[0] in words[1:] else ""
            if before.endswith(",") or word.startswith(","):
                raise InputError(f"unknown argument '{word}'; a list has no blanks: {before}{word}")
            ends = "--help shows what can be given" if self._at_hand is None else "settings are given as --set KEY=VALUE"
            raise InputError(f"unknown argument '{word}'; {self._meant(word, given, flags)}{ends}")
        return flags

    def _meant(self, word: str, value: Any, flags: argparse.Namespace) -> str:
        """What an unknown word may be, in the words of the library where it is a setting."""
        bare = word.lstrip("-").replace("-", "_")
        own = {option for action in self._actions for option in action.option_strings if option.startswith("--")}
        for option, others in OTHER_WORDS.items():
            if option in own and folded(bare) in map(folded, others.split()):
                shown = "" if value is near.NO_VALUE or option == "--scale" else f" {value}"  # which is a share of the steps
                return f"did you mean {option}{shown}? "
        if word in OF_RUN and self._at_hand is not None:
            return f"`run {word}` has it; "
        spelt = {option[2:].replace("-", "_"): option for option in sorted(own)}
        longer = [name for name in spelt if name.startswith(f"{bare}_")]
        own_flag = asked(spelt[name] for name in longer or close(bare, spelt))
        if self._at_hand is None:
            return own_flag
        if not word.startswith("-"):
            return near.name(word)
        given = self._at_hand(flags)
        return near.setting(bare, value, given) or own_flag or near.misspelt(bare, value, given)


def command(prog: str, work: Callable[[], int], interrupted: str = "interrupted", flags: Collection[str] = FLAGS) -> int:
    """Do the work of a command. What goes wrong is one line on stderr.

    Args:
        prog: Says the line.
        work: Returns the exit status where nothing goes wrong.
        interrupted: What is said when a key or a signal ends it, with `{signal}` for the signal's name.
        flags: Settings that have a flag of their own there.

    Returns:
        The exit status: that of the work; 1: a run that had begun cannot go on; 2: bad input, or a file that cannot be
        used; 3: another process is at work there; 141: nobody reads the output; 128 + n: ended by signal n, so 130 by
        Ctrl-C.
    """
    try:
        with warnings.catch_warnings():
            if not os.environ.get("SSL_ZOO_TRACEBACK"):
                warnings.showwarning = functools.partial(_show_warning, flags)
            return work()
    except BrokenPipeError:  # whoever reads the output has read enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed
        return 128 + signal.SIGPIPE
    except UnicodeEncodeError as error:
        cannot = f"the output is in {error.encoding}, which has no {error.object[error.start]!a}"
        wider = "utf-8" if error.encoding.lower() not in ("utf-8", "utf8") else "utf-8:backslashreplace"
        say(prog, [f"{cannot}; PYTHONIOENCODING={wider} before the command lets it be written"])
        return 2
    except (InputError, RunError, OSError) as error:
        if os.environ.get("SSL_ZOO_TRACEBACK"):
            traceback.print_exc()
        say(prog, [in_words(str(error), flags)])
        return exit_status(error)
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "number", signal.SIGINT)  # of a command that makes one of its own of other signals
        say(prog, [in_words(str(stopped), flags) or interrupted.format(signal=number.name)])
        return 128 + number


def leave(status: int) -> NoReturn:
    """End the process. A key that is pressed once more, while Python cleans up, ends it without a traceback."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # which holds to the end
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


def path(text: str) -> Path:
    """Return the path that a flag gives; `~` is the home folder, which a shell does not say for it after `=`."""
    return Path(os.path.expanduser(text))


def exit_status(error: InputError | RunError | OSError) -> int:
    """Return the exit status that an error has."""
    return getattr(error, "status", 2)


def in_words(text: str, flags: Collection[str] = FLAGS) -> str:
    """Return what the library says with the names of flags, or of --set where there is none."""
    for said, flag_said in SAID.items():
        text = text.replace(said, flag_said)
    if "rerun_stale" in flags:
        text = STALE.sub("`rerun_stale=True`", text)
    return SETTING.sub(lambda found: _as_flag(found, flags), text)


def _as_flag(found: re.Match[str], flags: Collection[str]) -> str:
    name, value = found[1], found[2]
    if name.startswith("datasets.") and name.rpartition(".")[2] in ("image_size", "skip_broken"):
        name = name.rpartition(".")[2]  # which have flags for whatever data set it is
    if value is None and name not in BARE:
        return found[0]  # the field of a data set, perhaps
    if name not in flags:
        return f"--set {name}={value}" if value is not None else found[0]
    bare = value in (None, "True") or (name, value) == ("skip_broken", "true")
    return flag_of(name) if bare else f"{flag_of(name)} {value}"


def flag_of(name: str) -> str:
    """Return the flag of a setting that has one."""
    return f"--{CALLED.get(name, name).replace('_', '-')}"


def warn(line: str, flags: Collection[str] = FLAGS) -> None:
    """Print what may be wrong, with the names of flags."""
    print(f"WARNING: {in_words(line, flags)}", file=sys.stderr)


def _show_warning(flags: Collection[str], message: Warning | str, category: type[Warning], file: str, *more: Any) -> None:
    """Print a warning of Python's like any other of ours. One of another package keeps where it comes from."""
    from tqdm import tqdm  # of no use to --help

    origin = "" if Path(file).is_relative_to(OURS) else f" ({category.__name__} of {'/'.join(Path(file).parts[-2:])})"
    with tqdm.external_write_mode(file=sys.stderr):  # not in the middle of a bar
        warn(f"{one_line(str(message))}{origin}", flags)


def say(prog: str, lines: Iterable[str]) -> None:
    """Print lines on stderr, each with who says it, and each one line whatever name or file is quoted in it."""
    for line in lines:
        print(f"{prog}: {one_line(line)}", file=sys.stderr)


@contextlib.contextmanager
def flag(name: str) -> Iterator[None]:
    """Put the flag that gave a value before what the library says of the value."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name} {error}") from error


def description(text: str | None, prog: str) -> str:
    """Return what `--help` says first: a module's docstring, with its example as the command was called.

    Args:
        text: The docstring, in which the installed command stands: `ssl-zoo table`.
        prog: Either that or the name of the script, `table.py`.
    """
    if not prog.endswith(".py"):
        return text or ""
    return (text or "").replace(f"ssl-zoo {prog.removesuffix('.py')}", f"python benchmarks/{prog}")


def called(prog: str, name: str) -> str:
    """Return how another command is called by somebody who called this one as `prog`: as a script, or installed."""
    return f"python benchmarks/{name}.py" if prog.endswith(".py") else f"{prog.rpartition(' ')[0]} {name}"
