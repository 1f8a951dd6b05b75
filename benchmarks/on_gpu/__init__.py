"""The parts of `gpu.py`: a session with its clock and results, processes with limits, and what is asked of a GPU."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ssl_zoo.device import pick_device

from . import checks, children, rungs, speed, table
from .images import Images
from .session import Session

ASKED = {"checks": checks.ask, "speed": speed.ask, "rungs": rungs.ask, "table": table.ask}


def work(flags: argparse.Namespace, carried: Path, folder: Path) -> int:
    """Ask what there is time for. Returns the exit status.

    Args:
        flags: Of gpu.py.
        carried: What was prepared.
        folder: For what is not worth keeping.
    """
    with children.ended_at_last():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # which ends them
        device = pick_device(flags.device)
        session = Session(flags, device, folder)
        images = Images(session, carried) if {"rungs", "table"} & {*flags.only} and not flags.small else None
        session.say(f"{session.device}, torch {torch.__version__}, {session.minutes:g} minutes for {', '.join(flags.only)}")
        for piece, ask in ASKED.items():  # the most important first
            if piece in flags.only:
                _asked(session, piece, ask, images)
        return session.close()


def _asked(session: Session, piece: str, ask: Any, images: Images | None) -> None:
    """Ask for a piece; what goes wrong in it ends none of the others."""
    try:
        ask(session) if piece in ("checks", "speed") else ask(session, images)
    except TimeoutError as error:
        session.wait(piece, f"cut short: {error}")
    except Exception as error:
        session.failed(piece, f"{type(error).__name__}: {' '.join(str(error).split())[:400]}")
    finally:
        children.end_all(but=images.child if images is not None else None)
