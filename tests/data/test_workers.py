"""Processes that decode tiny images: the same pixels and messages as without them, and nothing that stays behind."""

import io
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_zoo.data import decode as module
from ssl_zoo.data import workers as processes
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.data.folder import folder
from ssl_zoo.data.image import decode
from ssl_zoo.data.workers import Workers
from ssl_zoo.errors import InputError

AS_IT_IS = (None, "RGB", 16, "bilinear")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
    for k, pixels in enumerate(noise):
        path = tmp_path / f"data/{'ab'[k % 2]}/{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch):
    """Two processes for any set, and what was decoded here all the same."""
    made, here, one = [], [], module._Decoding._one

    def workers(*args):
        made.append(Workers(*args))
        return made[-1]

    monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr(module, "Workers", workers)
    monkeypatch.setattr(
        module._Decoding, "_one", lambda self, place, *rest: here.append(self.paths[place]) or one(self, place, *rest)
    )
    return made, here


def content(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def gone(worker):
    return worker.returncode is not None and worker.stdin.closed and worker.stdout.closed


@pytest.mark.parametrize("options", [{}, {"image_size": (3, 5), "mode": "L", "interpolation": "bicubic"}])
def test_many_tiny_images_are_decoded_by_processes_to_the_same_pixels(root, started, monkeypatch, options):
    made, here = started
    data = folder(root, **options)
    assert here == ["a/00.png"] and [len(workers._all) for workers in made] == [2]  # the first one, for its size
    assert all(gone(worker) for worker in made[0]._all)
    monkeypatch.setattr(module, "MANY", 41)
    assert fingerprint(folder(root, cache=False, **options)) == fingerprint(data) and len(made) == 1


@pytest.mark.parametrize("name", ["TINY", "PLAIN"])
def test_larger_images_are_left_to_threads(root, started, monkeypatch, name):
    monkeypatch.setattr(module, name, 47)  # 48 bytes of pixels
    folder(root)
    assert started[0] == []


def test_a_large_file_among_tiny_ones_is_decoded_here(root, started, monkeypatch):
    whole = (root / "a/02.png").read_bytes()
    (root / "a/02.png").write_bytes(whole + bytes(module.TINY))  # what follows the end is of no account
    assert (folder(root).images[1] == decode(whole, *AS_IT_IS).pixels).all() and started[1] == ["a/00.png", "a/02.png"]


def test_what_is_broken_is_said_as_ever(root, started, monkeypatch):
    for name in ("a/04.png", "b/05.png"):
        (root / name).write_bytes(b"<html>")
    (root / "a/06.png").unlink()
    (root / "a/06.png").symlink_to("nowhere")
    said = []
    for many in (10, 41):
        monkeypatch.setattr(module, "MANY", many)
        with pytest.raises(InputError) as caught:
            folder(root, cache=False)
        said.append(str(caught.value))
        said.append(folder(root, cache=False, skip_broken=True).skipped)
    assert said[:2] == said[2:] and said[0].startswith("3 of 40 images cannot be read, such as: ") and len(said[1]) == 3
    assert len(started[0]) == 2


def test_sixteen_bits_and_shapes_are_seen(root, started):
    for k, path in enumerate(sorted(root.rglob("*.png"))):
        Image.fromarray(np.full((4, 4), 100 * k, np.uint16)).save(path)
    shape = np.zeros((4, 4, 4), np.uint8)
    shape[1, 1, 3] = 255
    Image.fromarray(shape).save(root / "b/39.png")
    data = folder(root, mode="L")
    assert data.depth == 12 and len(data.notes) == 2 and data.images[1, 0, 0, 0] == 100 >> 4
    assert data.images[39, 0, 0, 0] == 255 and data.images[39, 1, 1, 0] == 0


def test_each_image_is_as_decoded_here_or_comes_back():
    noise = np.random.default_rng(1).integers(0, 256, (8, 6, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = content(Image.fromarray(noise[..., :3]), "JPEG", exif=exif)
    block = b"Exif\0\0II*\0\xff\xff\xff\xff"
    odd = content(Image.fromarray(noise[..., :3]), "JPEG")
    odd = odd[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + odd[2:]
    animation = content(Image.fromarray(noise[..., 0]), "GIF")
    files = [turned, content(Image.fromarray(noise)), animation, b"", b"no", turned[:-40], odd]
    workers = Workers(1, AS_IT_IS)
    found = workers.decode(files)
    workers.close()
    assert [one is None for one in found] == [False] * 3 + [True] * 4
    for file, one in zip(files[:3], found, strict=False):
        wanted = decode(file, *AS_IT_IS)
        assert (one.pixels == wanted.pixels).all() and one.pixels.shape == wanted.pixels.shape and one[1:] == wanted[1:]
    with pytest.warns(UserWarning, match="EXIF"):  # which is why the last one came back
        decode(odd, *AS_IT_IS)


@pytest.mark.parametrize("way", ["killed", "no program", "no python", "frozen"])
def test_without_processes_all_is_decoded_here(root, started, monkeypatch, way):
    if way == "killed":
        start = Workers._started

        def dying(self):
            worker = start(self)
            worker.kill()
            worker.wait()
            return worker

        monkeypatch.setattr(Workers, "_started", dying)
    elif way == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(processes.sys, "executable", "/nowhere/python" if way == "no program" else "")
    data = folder(root, cache=False)
    assert len(started[1]) == 41 and len(data.images) == 40
    monkeypatch.setattr(module, "MANY", 41)
    assert fingerprint(data) == fingerprint(folder(root, cache=False))


def test_a_process_loads_no_torch():
    if not Path("/proc/self/maps").exists():
        pytest.skip("a system that does not say")
    workers = Workers(1, AS_IT_IS)
    assert workers.decode([content(Image.new("RGB", (2, 3)))])[0].pixels.shape == (3, 2, 3)
    loaded = Path(f"/proc/{workers._all[0].pid}/maps").read_text()
    workers.close()
    assert "numpy" in loaded and "torch" not in loaded


def test_ctrl_c_ends_the_processes_and_keeps_what_is_done(root, cache, started, monkeypatch):
    made, _ = started
    put, seen = module._Decoding._put, []

    def slow(self, place, image):
        seen.append(place)
        if len(seen) == 12:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        put(self, place, image)

    monkeypatch.setattr(module._Decoding, "_put", slow)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            folder(root)
    finally:
        signal.signal(signal.SIGINT, before)
    assert all(gone(worker) for worker in made[0]._all)
    monkeypatch.setattr(module._Decoding, "_put", put)
    asked = []
    decode_there = Workers.decode
    monkeypatch.setattr(Workers, "decode", lambda self, files: asked.extend(files) or decode_there(self, files))
    assert len(folder(root).images) == 40 and 20 < len(asked) < 40


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    from ssl_zoo.data import decode
    from ssl_zoo.data.folder import folder
    decode.MANY, decode.cores, start = 10, lambda: 2, decode.Workers
    decode.Workers = lambda *args: made.append(start(*args)) or made[-1]
    made = []
    print("begun", flush=True)
    data = folder(Path(sys.argv[1]), cache=False)
    print(len(data.images), len(made[0]._all), flush=True)
    again = start(2, (None, "RGB", 16, "bilinear"))
    again.decode([b""]), again.decode([b""])
    print(*(worker.pid for worker in again._all), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_plain_script_may_have_them_and_a_kill_ends_them(root, tmp_path):
    """Without `if __name__ == "__main__"`, and from a folder with modules that are called as those of Python."""
    if os.name != "posix":
        pytest.skip("there is no such kill")
    (tmp_path / "pickle.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "made").mkdir()
    (tmp_path / "made/script.py").write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, "made/script.py", root], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    begun, counts, pids = done.stdout.splitlines()
    assert begun == "begun" and counts == "40 2" and done.returncode == -signal.SIGKILL and done.stderr == ""
    for _ in range(100):
        if not any(alive(int(pid)) for pid in pids.split()):
            return
        time.sleep(0.1)
    pytest.fail("they are there after ten seconds")
