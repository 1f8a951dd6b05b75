"""Many images: what is counted and said, what an interrupted decoding leaves, and what is never remembered."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from PIL import Image

from ssl_zoo.data import decode as module
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.data.folder import folder
from ssl_zoo.data.image import Decoded
from ssl_zoo.data.pieces import Pieces
from ssl_zoo.data.progress import Progress
from ssl_zoo.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    for k, name in enumerate(("ant", "bee")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (4, 4), (10 * k + i, 0, 0)).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded."""
    paths, one = [], module._Decoding._one
    monkeypatch.setattr(
        module._Decoding, "_one", lambda self, place, *rest: paths.append(self.paths[place]) or one(self, place, *rest)
    )
    return paths


def test_broken_images_are_counted_and_the_first_named(root):
    for i in (1, 2, 3, 4):
        (root / f"ant/{i}.png").write_bytes(b"no")
    with pytest.raises(InputError) as caught:
        folder(root)
    said = str(caught.value)
    assert said.startswith("4 of 20 images cannot be read, such as: ") and said.count("no known format") == 3
    assert "ant/1.png'" in said and "ant/4.png'" not in said and said.endswith("leave them out with `skip_broken=True`")
    data = folder(root, skip_broken=True)
    assert len(data.images) == 16 and len(data.skipped) == 4


def test_what_was_decoded_before_an_error_is_not_decoded_again(root, cache, decoded):
    (root / "bee/9.png").write_bytes(b"no")
    with pytest.raises(InputError):
        folder(root)
    assert [path.suffix for path in cache.iterdir()] == [".pieces"]
    decoded.clear()
    assert len(folder(root, skip_broken=True).images) == 19  # as the message advises
    assert sorted(decoded) == ["ant/0.png", "bee/9.png"]
    with pytest.raises(InputError):
        folder(root)
    decoded.clear()
    Image.new("RGB", (4, 4), (77, 0, 0)).save(root / "bee/9.png")
    data = folder(root)
    assert sorted(decoded) == ["ant/0.png", "bee/9.png"]  # the first one always, for its size
    assert data.images[:, 0, 0, 0].tolist() == [*range(19), 77]
    assert {path.suffix for path in cache.iterdir()} == {".npz"}
    assert fingerprint(data) == fingerprint(folder(root, cache=False))


def test_pieces_of_a_kill_are_cut_to_whole_ones(tmp_path):
    images = [Decoded(np.full((2, 3, 3), i, np.uint8), 300 * i, i == 2, 1.5 * i) for i in range(3)]
    marks = [bytes([i]) * 16 for i in range(3)]
    pieces = Pieces(tmp_path / "x.npz")
    pieces.open((2, 3, 3))
    pieces.add(list(zip(marks, images, strict=True)))
    pieces.close(done=False)
    file = tmp_path / "x.npz.pieces"
    file.write_bytes(file.read_bytes()[:-5])  # in the middle of the third
    again = Pieces(tmp_path / "x.npz")
    again.open((2, 3, 3))
    assert again.get(marks[2]) is None and again.get(None) is None
    kept = again.get(marks[1])
    assert (kept.pixels == 1).all() and (kept.largest, kept.shaped, kept.scale) == (300, False, 1.5)
    again.add([(marks[2], images[2])])
    again.close(done=False)
    whole = Pieces(tmp_path / "x.npz")
    whole.open((2, 3, 3))
    assert (whole.get(marks[2]).pixels == 2).all() and whole.get(marks[2]).shaped
    other = Pieces(tmp_path / "x.npz")  # another process, at the same time
    other.open((2, 3, 3))
    assert other.get(marks[1]) is None
    other.close(done=True)
    assert file.exists()
    whole.close(done=True)
    assert list(tmp_path.iterdir()) == []
    elsewhere = Pieces(tmp_path / "x.npz")
    elsewhere.open((9, 9, 1))
    assert elsewhere.get(marks[0]) is None
    elsewhere.close(done=True)


@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_waits_for_the_images_in_hand_alone(kept, root, decoded, monkeypatch):
    """With every thread at work: the main thread is interrupted, and what is queued is not begun."""
    first, one = threading.Event(), module._Decoding._one

    def slow(self, place, *rest):
        if len(decoded) > 2:
            first.set()
            self.stop.wait(30)
        return one(self, place, *rest)

    monkeypatch.setattr(module._Decoding, "_one", slow)
    monkeypatch.setattr(module, "cores", lambda: 2)
    threading.Thread(target=lambda: (first.wait(30), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt) as stopped:
            folder(root, cache=kept)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(decoded) < 10
    left = r"\d of 20 are kept, and the same call goes on" if kept else "none is kept"
    assert re.fullmatch(f"interrupted while images were decoded; {left}", str(stopped.value))


def test_a_passing_failure_is_not_remembered(root, cache, monkeypatch):
    """A network that is away for a moment must not cost images for ever."""
    read = open

    def away(path, *rest):
        if str(path).endswith("ant/3.png"):
            raise OSError(5, "Input/output error")
        return read(path, *rest)

    monkeypatch.setattr("builtins.open", away)
    data = folder(root, skip_broken=True)
    assert len(data.images) == 19 and "(Input/output error)" in data.skipped[0]
    monkeypatch.undo()
    monkeypatch.setenv("SSL_ZOO_CACHE", str(cache))
    assert len(folder(root, skip_broken=True).images) == 20


@pytest.mark.parametrize(("largest", "depth"), [(255, 8), (1023, 10), (4095, 12), (40_000, 16)])
def test_sixteen_bits_are_scaled_by_the_largest_value_of_the_set(root, largest, depth):
    for i, path in enumerate(sorted(root.rglob("*.png"))):
        values = np.linspace(0, largest if i == 7 else largest // 3, 16).astype(np.uint16).reshape(4, 4)
        Image.fromarray(values).save(path)
    data = folder(root, mode="L")
    assert data.depth == depth and data.images.max() == largest >> (depth - 8)
    note = f"20 grey images have 16 bits and no value over {largest:,}: they are scaled as {depth} bits"
    assert data.notes == ((note,) if depth < 16 else ())
    assert folder(root, mode="L").depth == depth and folder(root, mode="L").notes == data.notes  # from the cache


def test_icons_differ_and_a_note_says_why(root):
    for i, path in enumerate(sorted(root.rglob("*.png"))):
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[i % 4, i // 4, 3] = 255
        Image.fromarray(pixels).save(path)
    data = folder(root)
    assert len({image.tobytes() for image in data.images}) == 20
    assert data.notes == ("20 images have their shape in the alpha channel alone: put on white, white ones on black",)


@pytest.mark.parametrize(("size", "said"), [(None, False), (8, False), (9, True)])
def test_images_that_are_enlarged_are_counted(root, size, said):
    """All of 8 x 8 pixels but one, of 16 x 12."""
    paths = sorted(root.rglob("*.png"))
    for path in paths:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    if size is not None:
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(paths[3])
    note = "images smaller than 9x9 (height x width) are enlarged, up to 1.12 times: 19 of 20"
    assert folder(root, image_size=size).notes == ((note,) if said else ())


def test_the_pool_has_the_cores_of_this_process(root):
    """Where a container or a scheduler gives two of a hundred, a hundred threads only get in each other's way."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("a system without affinities")
    code = f"""
        import os, threading
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        from ssl_zoo.data import decode
        from ssl_zoo.data.folder import folder
        made = []
        pool = decode.ThreadPoolExecutor
        decode.ThreadPoolExecutor = lambda workers: made.append(workers) or pool(workers)
        folder({str(root)!r}, cache=False)
        print(made)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[1]"


def test_what_was_kept_does_not_count_for_the_rate(monkeypatch):
    now = [0.0]
    bar = Progress(100)
    bar.bar._time, bar.bar.start_t, bar.bar.last_print_t = lambda: now[0], 0.0, 0.0
    with bar:
        bar.add(60, kept=60)
        now[0] = 10.0
        bar.add(20, kept=0)
        assert bar.done == bar.bar.n == 80
        shown = bar.bar.format_dict
        assert (shown["n"] - shown["initial"]) / shown["elapsed"] == 2 and (shown["rate"] or 2) == 2
