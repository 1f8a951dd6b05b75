"""Data as people have them: broken, hostile, odd and leaking. Each is handled, or refused by the name of the file."""

import io
import json
import os
import struct
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmarks import run
from ssl_zoo import DATASETS, InputError
from ssl_zoo.data.leakage import leaks

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
    "zero bytes": (b"", "no known format"),
    "text by an image's name": (b"Dear photographer,", "no known format"),
    "cut short": (truncated_jpeg(), "[Tt]runcated"),
    "only a signature": (b"\x89PNG\r\n\x1a\n", "."),
    "a decompression bomb": (png_that_claims(60_000, 60_000), "60,000 x 60,000 pixels, which is too large|exceeds limit"),
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
    with pytest.raises(InputError, match=r"class folder '.*data/test/bee' has no image that can be read"):
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
    (root / "train/ant/Thumbs.db").write_bytes(b"x")
    (root / "train/ant/.hidden.png").write_bytes(b"x")
    (root / "train/.git").mkdir()
    (root / "train/.git/0.png").write_bytes(b"x")
    (root / "readme.txt").write_text("x")
    whole = load(root)
    assert len(whole.images) == 8 and len(whole.skipped) == 1 and whole.skipped[0].endswith("Thumbs.db' is no image by its name")


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


def pack(root, folder, kind, more):
    archive = folder / f"data.{kind}"
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
    assert leaks(load(root)) == []
    leak(root)
    whole = load(root)
    assert [(whole.names[8 + test], whole.names[train]) for test, train in leaks(whole)] == [
        ("test/ant/again.bmp", "train/ant/3.png"),
        ("test/bee/9.png", "train/ant/2.png"),
    ]


def test_points_that_are_equal_by_chance_are_no_leaks():
    assert leaks(DATASETS.create("moons", None)) == [] and leaks(DATASETS.create("digits", None)) == []


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
    assert "WARNING: 1 files are left out, such as: " in error and "train/bee/0.png" in error
    row = json.loads((tmp_path / "run/result.json").read_text())
    assert (row["leaked_test_images"], row["skipped_images"]) == (2, 1)


def test_no_warning_where_nothing_is_wrong(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(root)
    _, _, error = call(capsys, "--dataset", "folder", "--data-root", str(root), "--labels", "4", "--out", str(tmp_path / "run"))
    assert "WARNING" not in error
