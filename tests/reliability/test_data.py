"""Data as people have them: broken, hostile, odd and leaking. Each is handled, or refused by the name of the file."""

import gzip
import inspect
import io
import json
import lzma
import os
import struct
import sys
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from ssl_zoo import DATASETS, InputError
from ssl_zoo.cli import run
from ssl_zoo.data import archive as module
from ssl_zoo.data import leakage
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.data.leakage import contradictions, leaks, pictures
from ssl_zoo.runs.inputs import choose_labels, find_flaws, load_data

SIDE = 8


def image(seed, mode="RGB", size=(SIDE, SIDE)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.fixture
def root(tmp_path):
    """Two classes of four training and two test images."""
    for k, name in enumerate(("ant", "bee")):
        for part, count in (("train", 4), ("test", 2)):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for i in range(count):
                image(100 * k + 10 * (part == "test") + i).save(tmp_path / "data" / part / name / f"{i}.png")
    return tmp_path / "data"


def load(root, **options):
    return DATASETS.create("folder", root, cache=False, **options)


def png_that_claims(width, height):
    """A PNG of a few bytes with a header of any size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def truncated_jpeg():
    file = io.BytesIO()
    image(0, size=(64, 64)).save(file, "JPEG")
    return file.getvalue()[:500]


BROKEN = {
    "zero bytes": (b"", "the file is empty"),
    "text by an image's name": (b"Dear photographer,", "no known format"),
    "cut short": (truncated_jpeg(), "[Tt]runcated"),
    "only a signature": (b"\x89PNG\r\n\x1a\n", "."),
    "a decompression bomb": (
        png_that_claims(60_000, 60_000),
        "60,000 x 60,000 pixels, which is too large|over 178,956,970 pixels, which is too large",
    ),
    "a smaller bomb": (png_that_claims(10_000, 10_000), "10,000 x 10,000 pixels, which is too large"),
    "less data than its header claims": (png_that_claims(500, 500), "truncated"),
    "an executable": (b"\x7fELF" + bytes(200), "no known format"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_is_refused_by_its_path_or_skipped_and_counted(root, kind):
    content, reason = BROKEN[kind]
    (root / "train/bee/1.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"data/train/bee/1\.png' is not an image that can be read \(.*({reason})") as error:
        load(root)
    assert "\n" not in str(error.value)
    whole = load(root, skip_broken=True)
    assert len(whole.images) == 7 and whole.labels.tolist() == [0, 0, 0, 0, 1, 1, 1] and len(whole.test_images) == 4
    assert len(whole.skipped) == 1 and "train/bee/1.png" in whole.skipped[0]
    assert len(whole.names) == 11 and "train/bee/1.png" not in whole.names
    assert (whole.images[5] == np.asarray(image(102))).all()  # the rows after it have moved up with their pixels


@pytest.mark.parametrize("place", ["train/ant/0.png", "test/bee/1.png", "unlabeled/x.png"])
def test_a_broken_image_may_stand_anywhere(root, place):
    (root / "unlabeled").mkdir()
    image(7).save(root / "unlabeled/y.png")
    (root / place).write_bytes(b"no")
    whole = load(root, skip_broken=True)
    assert (len(whole.images), len(whole.test_images)) == (9 - place.startswith("train"), 4 - place.startswith("test"))
    assert whole.labels.tolist() == [0] * (4 - place.startswith("train")) + [1] * 4 + [-1]


def test_a_class_of_broken_images_alone_is_refused(root):
    for i in range(2):
        (root / f"test/bee/{i}.png").write_bytes(b"no")
    assert load(root, skip_broken=True).test_labels.tolist() == [0, 0]  # scored on the classes that are left
    for i in range(4):
        (root / f"train/bee/{i}.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"the class 'bee' in '.*data' has no image that can be read"):
        load(root, skip_broken=True)
    for path in root.rglob("*.png"):
        path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"data' has no image that can be read, such as: .*train/ant/0\.png"):
        load(root, skip_broken=True)


def save_as(root, picture, name="0.png", **options):
    picture.save(root / "train/ant" / name, **options)


def palette(root):
    save_as(root, image(0).quantize(4))
    return np.asarray(Image.open(root / "train/ant/0.png").convert("RGB"))


def alpha(root):
    picture = image(0)
    picture.putalpha(image(1, "L"))
    save_as(root, picture)
    return np.asarray(image(0))


def palette_with_transparency(root):
    save_as(root, image(0).quantize(4), transparency=0)
    return np.asarray(Image.open(root / "train/ant/0.png").convert("RGBA").convert("RGB"))


def cmyk(root):
    (root / "train/ant/0.png").unlink()
    picture = Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0))  # red
    save_as(root, picture, "0.jpg", quality=100)
    return np.full((SIDE, SIDE, 3), (254, 0, 0), np.uint8)


def sixteen_bits(root):
    values = np.arange(64, dtype=np.uint16).reshape(SIDE, SIDE) * 1000
    save_as(root, Image.fromarray(values))
    return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)


def animated(root):
    (root / "train/ant/0.png").unlink()
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    save_as(root, frames[0], "0.gif", save_all=True, append_images=frames[1:])
    return np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)


def two_colours(root):
    save_as(root, image(0, "1"))
    return np.asarray(image(0, "1").convert("RGB"))


def jpeg_by_the_name_of_a_png(root):
    save_as(root, Image.new("RGB", (SIDE, SIDE), (255, 0, 0)), format="JPEG", quality=100)
    return np.full((SIDE, SIDE, 3), (254, 0, 0), np.uint8)


@pytest.mark.parametrize(
    "make", [palette, alpha, palette_with_transparency, cmyk, sixteen_bits, animated, two_colours, jpeg_by_the_name_of_a_png]
)
def test_every_kind_of_image_becomes_eight_bits_of_three_channels(root, make):
    expected = make(root)
    found = load(root).images[0]
    assert found.shape == (SIDE, SIDE, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_files_that_are_no_images_by_their_names_are_left_out_and_said_to_be(root):
    (root / "train/ant/list.doc").write_bytes(b"x")
    (root / "train/ant/Thumbs.db").write_bytes(b"x")
    (root / "train/ant/.hidden.png").write_bytes(b"x")
    (root / "train/.git").mkdir()
    (root / "train/.git/0.png").write_bytes(b"x")
    (root / "readme.txt").write_text("x")
    whole = load(root)
    assert len(whole.images) == 8 and len(whole.skipped) == 1 and whole.skipped[0].endswith("list.doc' is no image by its name")


def test_links_are_followed_wherever_they_lead(root, tmp_path):
    """A class folder on another disk is how people work; a link is of no harm to one who reads pixels from it."""
    (tmp_path / "elsewhere").mkdir()
    image(50).save(tmp_path / "elsewhere/a.png")
    (root / "train/ant/more").symlink_to(tmp_path / "elsewhere")
    (root / "train/bee/one.png").symlink_to(tmp_path / "elsewhere/a.png")
    whole = load(root)
    assert len(whole.images) == 10 and (whole.images[4] == np.asarray(image(50))).all()


@pytest.mark.parametrize("to", [".", "..", "../../train"])
def test_links_in_a_circle_are_refused(root, to):
    (root / "train/ant/again").symlink_to(to)
    with pytest.raises(InputError, match=r"data/train/ant/again.*' is a link to a folder that it lies in"):
        load(root)


def test_links_that_fan_out_are_refused(root):
    """Each of 40 folders holds two links to the next: 2 ** 40 names."""
    for i in range(40):
        (root / f"train/ant/d{i}").mkdir()
    for i in range(39):
        for name in "xy":
            (root / f"train/ant/d{i}/{name}").symlink_to(f"../d{i + 1}")
    with pytest.raises(InputError, match=r"' and '.*' are, by a link, one folder; remove one of them"):
        load(root)


def test_folders_may_be_nested_deeply(root):
    (root / "train/ant" / "/".join("d" * 200)).mkdir(parents=True)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        assert len(load(root).names) == 12
    finally:
        sys.setrecursionlimit(before)


def test_a_file_of_no_image_s_size_is_not_read(root):
    with (root / "train/ant/vast.png").open("wb") as file:
        file.truncate(1 << 40)  # without a block on the disk
    with pytest.raises(
        InputError, match=r"vast\.png' is not an image that can be read \(1,099,511,627,776 bytes, which is no image\)"
    ):
        load(root)
    assert len(load(root, skip_broken=True).skipped) == 1


def test_no_program_is_run_to_read_an_image(root, monkeypatch):
    """Pillow lets Ghostscript read EPS; what it would run is somebody else's code."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: pytest.fail("Ghostscript was called"))
    (root / "train/ant/0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="no known format"):
        load(root)


@pytest.mark.parametrize("largest", [1023, 65535])
def test_grey_levels_of_more_than_8_bits(root, largest):
    values = np.arange(64, dtype=np.uint32).reshape(8, 8) * largest // 63
    (root / "train/ant/0.png").write_bytes(b"P5 8 8 %d\n" % largest + values.astype(">u2").tobytes())
    assert np.abs(load(root, mode="L").images[0, ..., 0].astype(int) - values.astype(int) * 255 // largest).max() <= 1


def test_memory_that_runs_out_is_no_broken_image(root, monkeypatch, tmp_path, capsys):
    def none(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", none)
    with pytest.raises(MemoryError):
        load(root, skip_broken=True)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    status, _, error = call(
        capsys, "--dataset", "folder", "--data-root", str(root), "--labels", "4", "--out", str(tmp_path / "run")
    )
    assert status == 1 and error.startswith("run.py: out of memory; ") and len(error.splitlines()) == 1


def test_a_link_to_nowhere_is_a_broken_image(root):
    (root / "train/ant/link.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"train/ant/link\.png' is not an image that can be read \(No such file"):
        load(root)
    assert len(load(root, skip_broken=True).images) == 8


def test_what_is_neither_file_nor_folder_is_refused(root):
    os.mkfifo(root / "train/ant/pipe.png")  # to read it would wait for ever
    with pytest.raises(InputError, match=r"train/ant/pipe\.png' is neither a file nor a folder"):
        load(root)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["/etc/passwd.png", "../outside.png", "data/../../outside.png", "data\\..\\..\\x.png"])
def test_archives_with_paths_that_lead_out_are_refused(root, tmp_path, kind, name):
    before = sorted(tmp_path.rglob("*"))
    archive = pack(root, tmp_path, kind, {name: (root / "train/ant/0.png").read_bytes()})
    with pytest.raises(InputError, match=r"has a member '.*', which would lie outside it"):
        load(archive)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, archive])  # nothing is ever unpacked


def pack(root, there, kind, more):
    archive = there / f"data.{kind}"
    contents = {f"data/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*.png")} | more
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for name, data in contents.items():
                file.writestr(name, data)
    else:
        with tarfile.open(archive, "w") as file:
            for name, data in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    return archive


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../../etc/hostname", "0.png", "again.png"])
def test_links_in_an_archive_never_leave_it(root, tmp_path, target):
    archive = pack(root, tmp_path, "tar", {})
    with tarfile.open(archive, "a") as file:
        member = tarfile.TarInfo("data/train/ant/again.png")
        member.type, member.linkname = tarfile.SYMTYPE, target
        file.addfile(member)
    if target == "0.png":
        assert len(load(archive).images) == 9
    else:
        with pytest.raises(InputError, match="cannot be read"):
            load(archive)


def test_an_archive_that_unpacks_to_gigabytes_is_refused_before_it_does(root, tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in root.rglob("*.png"):
            file.write(path, f"data/{path.relative_to(root)}")
        with file.open("data/train/ant/big.png", "w", force_zip64=True) as member:
            for _ in range(600):
                member.write(bytes(1 << 20))
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"has a member 'data/train/ant/big\.png' of 629,145,600 bytes, which is no image"):
        load(archive)


def test_an_archive_of_too_many_bytes_is_refused(root, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_ARCHIVE", 1000)
    with pytest.raises(InputError, match="holds over 1,000 bytes of images; unpack it into a folder"):
        load(pack(root, tmp_path, "zip", {}))


def test_only_images_are_read_from_an_archive(root, tmp_path, monkeypatch):
    archive = pack(root, tmp_path, "zip", {"data/train/ant/notes.txt": b"a note", "data/.hidden/x.png": b"x"})
    read = []
    inner = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda file, member: (read.append(member.filename), inner(file, member))[1])
    assert "notes.txt" in load(archive).skipped[0]
    assert len(read) == 12 and all(name.endswith(".png") and ".hidden" not in name for name in read)


def test_a_header_of_gigabytes_is_refused_before_it_is_read(root, tmp_path):
    archive = tmp_path / "data.tar.gz"
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 1 << 40
    with gzip.open(archive, "wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(InputError, match=r"cannot be read \(a header of 1,099,511,627,776 bytes\)"):
        load(archive)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_refused(root, tmp_path, kind):
    archive = pack(root, tmp_path, kind, {"./data/train/ant/0.png": b"another"})
    with pytest.raises(InputError, match=r"has a member 'data/train/ant/0\.png' twice; make it anew without"):
        load(archive)


def test_a_device_in_an_archive_is_refused(root, tmp_path):
    archive = pack(root, tmp_path, "tar", {})
    with tarfile.open(archive, "a") as file:
        member = tarfile.TarInfo("data/train/ant/pipe.png")
        member.type = tarfile.FIFOTYPE
        file.addfile(member)
    with pytest.raises(InputError, match=r"pipe\.png', which is neither a file nor a folder"):
        load(archive)


def test_a_pipe_by_an_archive_s_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "data.tar")
    with pytest.raises(InputError, match="is neither a folder, nor an archive"):
        load(tmp_path / "data.tar")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_a_damaged_archive_is_one_line(root, tmp_path, kind):
    """Whatever byte is changed: the images, or one line."""
    plain = pack(root, tmp_path, kind.partition(".")[0], {}).read_bytes()
    packed = {"tar.gz": gzip.compress, "tar.xz": lzma.compress}.get(kind, bytes)(plain)
    archive = tmp_path / f"damaged.{kind}"
    draw = np.random.default_rng(0)
    for _ in range(60):
        harmed = bytearray(packed)
        harmed[draw.integers(len(packed))] ^= 1 << int(draw.integers(8))
        archive.write_bytes(harmed[: draw.integers(1, len(packed))] if draw.random() < 0.2 else harmed)
        try:
            assert len(load(archive, skip_broken=True).images) <= 8
        except InputError as error:
            assert "\n" not in str(error)


def test_what_was_left_out_is_known_from_the_cache_too(root, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    (root / "train/ant/1.png").write_bytes(b"no")
    (root / "train/ant/été\n.txt").write_text("x")
    first, again = (DATASETS.create("folder", root, skip_broken=True) for _ in range(2))
    assert first.skipped == again.skipped and len(again.skipped) == 2 and first.names == again.names
    with pytest.raises(InputError, match=r"train/ant/1\.png"):  # the cache of one option is not that of the other
        DATASETS.create("folder", root)


# The leakage guard.


def leak(root):
    (root / "test/bee/9.png").write_bytes((root / "train/ant/2.png").read_bytes())
    image(3).save(root / "test/ant/again.bmp")  # the same pixels in another file


def test_leaks_are_found_by_content(root):
    whole = load(root)
    assert leaks(*pictures(whole.images, whole.test_images)) == []
    leak(root)
    whole = load(root)
    found = leaks(*pictures(whole.images, whole.test_images))
    assert [(whole.names[8 + test], whole.names[train]) for test, train in found] == [
        ("test/ant/again.bmp", "train/ant/3.png"),
        ("test/bee/9.png", "train/ant/2.png"),
    ]


def test_copies_are_found_with_the_hashes_that_the_cache_keeps(root, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    leak(root)
    (root / "train/bee/same.png").write_bytes((root / "train/ant/0.png").read_bytes())
    argv = ["--dataset", "folder", "--data-root", str(root), "--labels", "4"]
    settings = run.read_settings(run.parse(argv))
    flaws = []
    for _ in range(2):
        inputs = choose_labels(settings, load_data(settings))
        flaws.append((fingerprint(inputs.data), find_flaws(inputs)))
        monkeypatch.setattr(leakage, "short_hashes", None)  # nobody calls it the second time
    plain = inputs._replace(data=inputs.data._replace(digests=None))
    monkeypatch.undo()
    assert flaws[0] == flaws[1] == (fingerprint(plain.data), find_flaws(plain)) and flaws[0][1][0] == 2
    assert [flaw.what[:30] for flaw in flaws[0][1][1]] == ["2 of 6 test images are also tr", "4 images have the same pixels "]


def test_points_that_are_equal_by_chance_are_no_leaks():
    for name in ("moons", "digits"):
        data = DATASETS.create(name, None)
        found = pictures(data.images, data.test_images)
        assert leaks(*found) == []
        assert leaks(*pictures(data.images, data.images[:3])) == [(0, 0), (1, 1), (2, 2)][: 3 * (name == "digits")]
        assert contradictions(np.concatenate(found), np.concatenate((data.labels, data.test_labels))) == []


def call(capsys, *argv):
    status = run.main(
        [*argv, *("--net", "smallnet", "--steps", "2", "--device", "cpu", "--set", "batch={labeled: 4, unlabeled: 4}")]
    )
    return status, *capsys.readouterr()


def test_a_run_reports_leaks_and_refuses_them_when_strict(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    leak(root)
    (root / "train/bee/0.png").write_bytes(b"no")
    argv = ["--dataset", "folder", "--data-root", str(root), "--labels", "4", "--skip-broken", "--out", str(tmp_path / "run")]
    status, _, error = call(capsys, *argv, "--strict")
    assert status == 2 and not (tmp_path / "run").exists()
    last = error.splitlines()[-1]
    assert last.startswith(
        "run.py: 2 of 6 test images are also training images, such as test/ant/again.bmp, which is train/ant/3.png"
    )
    status, _, error = call(capsys, *argv)
    assert status == 0 and "WARNING: 2 of 6 test images are also training images" in error
    assert "WARNING: 1 file is left out: " in error and "train/bee/0.png" in error
    row = json.loads((tmp_path / "run/result.json").read_text())
    assert (row["leaked_test_images"], row["skipped_images"]) == (2, 1)


def test_a_validation_image_that_is_also_trained_on_is_a_leak(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    argv = ["--dataset", "folder", "--data-root", str(root), "--labels", "all", "--val-fraction", "0.25"]
    settings = run.read_settings(run.parse(argv))
    inputs = choose_labels(settings, load_data(settings))
    held_out = inputs.data.names[inputs.held_out[0]]
    (root / held_out.replace("0.", "9.").replace("1.", "9.").replace("2.", "9.").replace("3.", "9.")).write_bytes(b"")
    (root / "unlabeled").mkdir()
    for path in root.rglob("9.png"):
        path.rename(root / "unlabeled/copy.png")
    (root / "unlabeled/copy.png").write_bytes((root / held_out).read_bytes())
    said = f"1 of 2 validation images are also training images, such as {held_out}, which is unlabeled/copy.png"
    status, _, error = call(capsys, *argv, "--strict", "--out", str(tmp_path / "run"))
    assert status == 2 and error.startswith(f"run.py: {said}")
    status, _, error = call(capsys, *argv, "--out", str(tmp_path / "run"))
    assert status == 0 and f"WARNING: {said}" in error
    assert json.loads((tmp_path / "run/result.json").read_text())["leaked_test_images"] == 0


def test_one_image_in_two_classes_is_found_and_within_a_class_is_no_complaint():
    pixels, other = np.zeros((1, 4, 5, 3), np.uint8), np.ones((1, 4, 5, 3), np.uint8)
    (images,) = pictures(np.concatenate([pixels, other, pixels, pixels, other, pixels]))
    assert contradictions(images, np.array([0, 1, 0, 0, 1, 0])) == []
    assert contradictions(images, np.array([0, 1, 2, 0, 1, -1])) == [(0, 2), (2, 0), (3, 2)]
    assert contradictions(images, np.array([0, 1, -1, -1, -1, -1])) == [], "a class that is not known is no other class"
    assert contradictions(*pictures(np.zeros((3, 2, 2, 4), np.uint8)), np.array([0, 1, 2])) == [], "equal by chance"


@pytest.mark.parametrize(
    ("copy", "place", "said"),
    [
        ("train/bee/0.png", "train/ant/9.png", "train/ant/9.png ('ant') and train/bee/0.png ('bee')"),
        ("test/ant/0.png", "test/bee/9.png", "test/ant/0.png ('ant') and test/bee/9.png ('bee')"),
    ],
)
def test_a_run_reports_one_image_in_two_classes_and_refuses_it_when_strict(
    root, tmp_path, monkeypatch, capsys, copy, place, said
):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    (root / place).write_bytes((root / copy).read_bytes())
    argv = ["--dataset", "folder", "--data-root", str(root), "--labels", "4", "--out", str(tmp_path / "run")]
    line = f"2 images have the same pixels as an image of another class, such as {said}"
    status, _, error = call(capsys, *argv, "--strict")
    assert status == 2 and error == f"run.py: {line}; give each one class, or go on without --strict\n"
    assert not (tmp_path / "run").exists()
    status, _, error = call(capsys, *argv)
    assert status == 0 and f"WARNING: {line}: no net can be right about both; --strict refuses such data" in error


def test_a_copy_within_a_class_is_no_flaw(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    (root / "train/ant/9.png").write_bytes((root / "train/ant/0.png").read_bytes())
    (root / "test/ant/9.png").write_bytes((root / "test/ant/0.png").read_bytes())
    (root / "unlabeled").mkdir()
    (root / "unlabeled/0.png").write_bytes((root / "train/bee/0.png").read_bytes())
    argv = ["--dataset", "folder", "--data-root", str(root), "--labels", "4", "--strict", "--out", str(tmp_path / "run")]
    status, _, error = call(capsys, *argv)
    assert status == 0 and "WARNING" not in error


def test_no_warning_where_nothing_is_wrong(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(root)
    _, _, error = call(capsys, "--dataset", "folder", "--data-root", str(root), "--labels", "4", "--out", str(tmp_path / "run"))
    assert "WARNING" not in error
