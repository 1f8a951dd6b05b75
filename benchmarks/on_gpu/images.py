"""The images of CIFAR-10 in class folders: unpacked and decoded while other work goes on."""

import os
import subprocess
import sys
import time
from pathlib import Path

from ssl_zoo import DATASETS

from . import children
from .session import Session

PLACE = Path("data/cifar10_jpeg")  # from the checkout: every row names it alike
SECONDS = 240.0  # to unpack and decode


class Images:
    """They, or why there are none.

    Args:
        session: For which.
        carried: Where the archive lies.
    """

    def __init__(self, session: Session, carried: Path):
        self.session = session
        self.child: children.Child | None = None
        archives = sorted(carried.glob("*.tar.*"))
        if not archives and not PLACE.is_dir():
            return
        words = (str(archives[0]) if archives else "", str(session.work / "cifar"))
        self.child = children.call("images", unpack, words, session.logs / "images.txt", min(SECONDS, session.left))

    def ready(self, what: str) -> bool:
        """Wait until they are there; otherwise say why the work is left out."""
        if self.child is None:
            self.session.wait(what, "left out: there is no archive of CIFAR-10 here; gpu.py --prepare ARCHIVE takes it along")
            return False
        while self.child.look() is None:
            time.sleep(children.PAUSE)
        if self.child.status != 0:
            self.session.failed(what, f"its images are not there: {self.child.says()}")
        return self.child.status == 0


def unpack(archive: str, folder: str) -> None:
    """Unpack an archive where it is not yet, link the place to it, and decode all images into the cache."""
    at = Path(folder)
    if archive and (PLACE.is_symlink() or not PLACE.is_dir()):
        if not at.with_suffix(".done").exists():
            at.mkdir(parents=True, exist_ok=True)
            subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
            at.with_suffix(".done").touch()
        PLACE.parent.mkdir(exist_ok=True)
        fresh = PLACE.with_name(f".{PLACE.name}.{os.getpid()}")
        fresh.symlink_to(at)
        fresh.replace(PLACE)  # a link of another machine too
    DATASETS.create("folder", PLACE)
    print(f"{PLACE} is decoded", file=sys.stderr)
