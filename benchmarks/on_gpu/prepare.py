"""What goes along to a machine with a GPU and without a network: a clone, wheels, and the archive of CIFAR-10."""

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

WHEELS = ("jsonargparse", "docstring-parser", "typeshed-client")  # pure Python that such a machine may lack
PYTHON = "3.12"  # of that machine


def prepare(archive: Path, root: Path) -> int:
    """Fill .gpu/ in the checkout, which git is told to ignore. Returns the exit status.

    Args:
        archive: Of class folders, train/<class>/ and test/<class>/.
        root: Of the checkout, of which what is committed goes along.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    out = root / ".gpu"
    (out / "whl").mkdir(parents=True, exist_ok=True)
    exclude = (root / git("rev-parse", "--git-common-dir") / "info/exclude").resolve()
    exclude.parent.mkdir(parents=True, exist_ok=True)
    if "/.gpu/" not in (exclude.read_text().splitlines() if exclude.exists() else []):
        with exclude.open("a") as file:
            file.write("/.gpu/\n")
    if git("status", "--porcelain", "--untracked-files=no"):
        print("gpu.py: what is not committed stays here", file=sys.stderr)
    shutil.rmtree(out / "src", ignore_errors=True)
    git("clone", "-q", "--depth", "1", root.as_uri(), str(out / "src"))
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON]
    pip += ["--implementation", "cp", "--abi", "none", "--platform", "any", "-d", str(out / "whl"), *WHEELS]
    done = subprocess.run(pip, check=False)
    copy = out / archive.name
    if not copy.exists() or not filecmp.cmp(archive, copy, shallow=False):
        shutil.copyfile(archive, copy)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.0f} MB; there: python3 .gpu/src/benchmarks/gpu.py --minutes 9 --out DIR")
    return done.returncode
