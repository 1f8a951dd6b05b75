"""Signals that ask a run to end: it finishes its step, writes a checkpoint, and goes on another time."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# Ctrl-C; what kill and a cluster send first; what SLURM sends a while before the end where asked to (--signal=USR1@120)
ASKED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Asked:
    """Whether a signal has come. A second one of a kind does what it does to any process, so nobody has to wait."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        self.answer: Callable[[str], None] | None = None  # is given its name at once, where a step takes long

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.by = signal.Signals(number)
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if self.answer is not None:
            with contextlib.suppress(RuntimeError):  # it came in the middle of a line that is being written
                self.answer(self.by.name)


@contextlib.contextmanager
def asked_to_end() -> Iterator[Asked]:
    """Watch for `ASKED` signals. Only a process's main thread can; in another, none is ever seen."""
    asked = Asked()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in ASKED:
            if signal.getsignal(number) != signal.SIG_IGN:  # a shell lets background jobs ignore Ctrl-C
                before[number] = signal.signal(number, asked)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
