"""Every command says an error in one line and ends with the status that stands for it."""

import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ssl_zoo import registry
from ssl_zoo.cli.parser import FLAGS, Parser, command, description, flag, in_words
from ssl_zoo.errors import BusyError, DivergedError, InputError, Interrupted, RunError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("a\nb"), 2),
        (BusyError("a\nb"), 3),
        (RunError("a\nb"), 1),
        (DivergedError("a", "b"), 1),
        (Interrupted("a\nb", 15), 143),
        (OSError("a\nb"), 2),
    ],
)
def test_an_error_is_one_line_and_a_status(error, status, capsys):
    def fail():
        raise error

    assert command("x.py", fail) == status
    out, said = capsys.readouterr()
    assert not out and said.startswith("x.py: a") and len(said.splitlines()) == 1


def test_the_status_of_the_work_is_that_of_the_command(capsys):
    assert command("x.py", lambda: 0) == 0 and command("x.py", lambda: 1) == 1
    assert capsys.readouterr() == ("", "")


def test_a_warning_of_python_is_one_line_too(capsys, monkeypatch):
    def work(file):
        warnings.warn_explicit("damaged\nby `steps=5`", UserWarning, file, 7)
        return 0

    ours = str(Path(registry.__file__).parent / "data/cache.py")
    assert command("x.py", lambda: work(ours)) == 0
    assert capsys.readouterr() == ("", "WARNING: damaged by --steps 5\n")
    assert command("x.py", lambda: work("/usr/lib/pil/ImageFile.py")) == 0
    assert capsys.readouterr().err == "WARNING: damaged by --steps 5 (UserWarning of pil/ImageFile.py)\n"
    monkeypatch.setenv("SSL_ZOO_TRACEBACK", "1")
    with pytest.warns(UserWarning, match="damaged"):
        command("x.py", lambda: work(ours))


def test_a_second_key_while_python_cleans_up_leaves_no_traceback():
    code = (
        "import atexit, os, signal, threading\nfrom ssl_zoo.cli.parser import command, leave\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\ndef work(): raise KeyboardInterrupt\n"
        "leave(command('x.py', work))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "x.py: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number, capsys):
    def stop():
        stopped = KeyboardInterrupt()
        if number != signal.SIGINT:
            stopped.number = number
        raise stopped

    assert command("x.py", stop, "ended by {signal}; the same command goes on") == 128 + number
    assert capsys.readouterr().err == f"x.py: ended by {number.name}; the same command goes on\n"
    assert command("x.py", stop) == 128 + number and capsys.readouterr().err == "x.py: interrupted\n"


def test_what_is_interrupted_may_say_what_is_kept(capsys):
    def stop():
        raise KeyboardInterrupt("5 are kept, and the same call goes on")

    assert command("x.py", stop, "ended by {signal}") == 130
    assert capsys.readouterr().err == "x.py: 5 are kept, and the same command goes on\n"


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command("x.py", lambda: 1 // 0)


def test_a_word_that_is_cut_short_is_unknown():
    parser = Parser(prog="x.py")
    parser.add_argument("--labels")
    with pytest.raises(InputError, match=r"unknown argument '--lab'; did you mean '--labels'\? --help shows what can be given"):
        parser.parse_args(["--lab", "3"])


def test_an_error_names_the_flag_that_gave_the_value():
    with pytest.raises(InputError, match=r"^--into x.md: no place$"), flag("--into"):
        raise InputError("x.md: no place")


@pytest.mark.parametrize(
    ("prog", "shown"), [("table.py", "python benchmarks/table.py runs"), ("ssl-zoo table", "ssl-zoo table runs")]
)
def test_the_example_is_the_command_as_it_was_called(prog, shown):
    assert description("Rows -> tables: ssl-zoo table runs", prog) == f"Rows -> tables: {shown}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("give `image_size`", "give --image-size"),
        ("`val_fraction=0.2`", "--val-fraction 0.2"),
        ("`fresh=True` trains it anew", "--fresh trains it anew"),
        ("or give `on_nan=skip`; the checkpoint", "or give --on-nan skip; the checkpoint"),
        ("or `nets.wrn28_2.bn_momentum=0.1`", "or --set nets.wrn28_2.bn_momentum=0.1"),
        ("`algorithms.mean-teacher.warmup_average=true`", "--set algorithms.mean-teacher.warmup_average=true"),
        ("use another folder; the same call goes on", "use another --out; the same command goes on"),
        ("choose another folder, or remove this one", "choose another --out, or remove this one"),
        ("'another folder/x.png' is no image", "'another folder/x.png' is no image"),
        ("without `fresh=True` the same call goes on", "without --fresh the same command goes on"),
        ("start one with `ray start --head`", "start one with `ray start --head`"),
        ("such as `labels: 20`", "such as `labels: 20`"),
        ("a run's length is `steps`: images", "a run's length is --steps: images"),
        ("`datasets.folder.image_size=64` or `datasets.folder.mode=L`", "--image-size 64 or --set datasets.folder.mode=L"),
        ("choose another folder, or give `fresh=True`, which", "choose another --out, or give --fresh, which"),
        ("the data set `moons`", "the data set `moons`"),
        ("`labels` is float64", "`labels` is float64"),
    ],
)
def test_what_the_library_says_names_flags_on_a_command_line(said, shown):
    assert in_words(said) == shown


def test_a_sweep_s_words_are_flags_that_it_has():
    from ssl_zoo.cli import ladder, sweep
    from ssl_zoo.cli.parser import GRID

    for p, said in ((sweep.parser(), GRID), (ladder.parser(), ladder.KNOWN)):
        known = {option for action in p._actions for option in action.option_strings}
        assert {f"--{name.replace('_', '-')}" for name in said} <= known, p.prog
    assert in_words("`steps=3` or `image_size`", ladder.KNOWN) == "--set steps=3 or --image-size"
    assert in_words("`fresh=True`, which begins anew; `fresh=True` to train it anew; `fresh=True` trains it", GRID) == (
        "--fresh, which begins anew; --rerun-stale to train it anew; --rerun-stale trains it"
    )


def test_every_setting_with_a_flag_is_known():
    """A message's advice, followed, must lead to a run."""
    from ssl_zoo.cli.flags import ON, VALUES, WORDS

    assert {*WORDS, *VALUES, *ON, "fresh", "image_size", "labels_file", "skip_broken"} == FLAGS


CSS = re.compile(r"var\(--|^--\w+: ")  # names of a page's style, which are no flags


def test_no_message_of_the_library_names_a_flag():
    """But for those of commands alone, which no call from Python can raise."""
    import ast
    from pathlib import Path

    import ssl_zoo

    root = Path(ssl_zoo.__file__).parent
    apart = ("cli/", "sweeps/", "tables/", "templates/", "testing/", "ladders.py", "new.py", "__main__.py")
    commands = {
        "_command",
        "recipe_of",
        "parse_assignment",
        "joined",
        "_took",
        "commit",
    }  # of command lines: ours, torchrun's, git's
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        if name.startswith(apart):
            continue
        for function in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]:
            texts = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            flags = [text for text in texts if "--" in CSS.sub("", text) and text != ast.get_docstring(function, clean=False)]
            assert not flags or function.name in commands, (name, function.name, flags)


@pytest.mark.parametrize(("handler", "status"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", 7)])
def test_a_key_that_is_pressed_while_python_cleans_up(handler, status):
    """It ends the process without a traceback, or is ignored to the end where it was ignored before."""
    lines = [
        "import atexit, os, signal",
        "from ssl_zoo.cli.parser import leave",
        f"signal.signal(signal.SIGINT, signal.{handler})",
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)",
        "leave(7)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")


def test_output_that_nobody_reads_is_no_error():
    import subprocess
    import sys

    listing = subprocess.Popen(
        [sys.executable, "-u", "-m", "ssl_zoo", "run", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    listing.stdout.readline()
    listing.stdout.close()
    assert listing.stderr.read() == "" and listing.wait() in (0, 141)


def test_an_output_without_the_letter_is_one_line(capsys):
    def work():
        "±".encode("ascii")

    assert command("table.py", work) == 2
    said = "table.py: the output is in ascii, which has no '\\xb1'; PYTHONIOENCODING=utf-8 before the command lets it be written"
    assert capsys.readouterr().err.strip() == said
