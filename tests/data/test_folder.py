"""A user's images: layout, order, conversions, cache, and one clear line for everything that can be wrong."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from ssl_zoo.data import cache as kept
from ssl_zoo.data import decode as module
from ssl_zoo.data import room as place
from ssl_zoo.data.cache import cache_file
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.data.folder import folder, source_of
from ssl_zoo.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded, in no particular order."""
    paths, one = [], module._Decoding._one
    monkeypatch.setattr(module._Decoding, "_one", lambda self, place, *rest: paths.append(self.paths[place]) or one(self, place))
    return paths


def write(path, value=0, size=(4, 6), **options):
    """One image of one colour; `size` is height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (value, 100, 200)).save(path, **options)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    write(root / "train/dog/b.png", 1)
    write(root / "train/dog/a.png", 2)
    write(root / "train/cat/deep/er/z.PNG", 3)
    write(root / "test/cat/1.png", 4)
    write(root / "test/dog/1.png", 5)
    write(root / "unlabeled/x/2.png", 6)
    write(root / "unlabeled/1.png", 7)
    (root / "train/dog/notes.txt").write_text("not an image")
    (root / "train/dog/.hidden.png").write_text("not an image")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "train/.ipynb_checkpoints/a.png").write_text("not an image")
    (root / "README.md").write_text("outside")
    return root


def reds(images):
    return images[:, 0, 0, 0].tolist()


def test_rows_classes_and_order(root):
    data = folder(root)
    assert data.name == "folder" and data.classes == ("cat", "dog")
    assert data.images.shape == (5, 4, 6, 3) and data.images.dtype == np.uint8
    assert reds(data.images) == [3, 2, 1, 7, 6] and data.labels.tolist() == [0, 1, 1, -1, -1]
    assert reds(data.test_images) == [4, 5] and data.test_labels.tolist() == [0, 1]
    assert data.images[0, 0, 0].tolist() == [3, 100, 200] and data.labels.dtype == np.int64


def test_unlabeled_is_optional(root):
    shutil.rmtree(root / "unlabeled")
    assert folder(root).labels.tolist() == [0, 1, 1]


def test_more_images_than_one_task_holds(root):
    for i in range(200):
        write(root / f"unlabeled/0/{i:03}.png", i)
    assert reds(folder(root, cache=False).images)[3:] == [*range(200), 7, 6]


# Conversions


def test_grey(root):
    data = folder(root, mode="L")
    assert data.images.shape == (5, 4, 6, 1)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_other_modes_are_converted(root, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(root / f"unlabeled/0.{suffix}")
    assert (folder(root).images[3] == 255).all()


def test_sixteen_bits_are_scaled(root):
    Image.fromarray(np.full((4, 6), 0x9234, np.uint16)).save(root / "unlabeled/0.png")
    assert (folder(root).images[3] == 0x92).all() and folder(root).notes == ()


def test_thirty_two_bits_are_refused(root):
    Image.fromarray(np.ones((4, 6), np.float32)).save(root / "unlabeled/0.tif")
    with pytest.raises(InputError, match=r"unlabeled/0.tif.*no known range"):
        folder(root)


def test_exif_orientation(root):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    write(root / "unlabeled/0.jpg", 9, size=(6, 4), exif=exif)
    assert folder(root).images.shape == (5 + 1, 4, 6, 3)


def test_image_size(root):
    write(root / "unlabeled/0.png", 9, size=(50, 20))
    assert folder(root, image_size=8).images.shape == (6, 8, 8, 3)
    assert folder(root, image_size=(2, 3)).images.shape == (6, 2, 3, 3)


def test_image_size_crops_the_centre(root):
    stripes = np.zeros((8, 16, 3), np.uint8)
    stripes[:, 3:13] = 250  # of a wide image, the middle stays: columns 4 to 11, and one more that the filter reaches
    Image.fromarray(stripes).save(root / "unlabeled/0.png")
    assert (folder(root, image_size=4).images[3] == 250).all()


def test_image_size_is_antialiased(root):
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(root / "unlabeled/0.png")
    assert (abs(folder(root, image_size=8).images[3].astype(int) - 127) <= 2).all()


# Archives


def pack(root, path, top=""):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in root.rglob("*"):
                archive.write(file, top + str(file.relative_to(root)))
            archive.writestr("__MACOSX/train/._a.png", "not an image")
    else:
        with tarfile.open(path, {".xz": "w:xz", ".gz": "w:gz", ".tgz": "w:gz", ".tar": "w"}[path.suffix]) as archive:
            archive.add(root, top or ".")
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz"])
@pytest.mark.parametrize("top", ["", "pack/"])
def test_archive_equals_folder(root, tmp_path, name, top):
    archive = pack(root, tmp_path / name, top)
    before = sorted(tmp_path.rglob("*"))
    assert fingerprint(folder(archive, cache=False)) == fingerprint(folder(root, cache=False))
    assert sorted(tmp_path.rglob("*")) == before  # nothing unpacked


def test_archive_is_cached(root, tmp_path, decoded):
    archive = pack(root, tmp_path / "a.tar.xz")
    first = folder(archive)
    decoded.clear()
    assert fingerprint(folder(archive)) == fingerprint(first) and not decoded
    write(root / "train/cat/new.png", 9)
    assert len(folder(pack(root, archive)).images) == 6


def test_broken_archives(root, tmp_path):
    for name in ("a.tar.xz", "a.tar.gz", "a.tar", "a.zip"):
        archive = pack(root, tmp_path / name)
        archive.write_bytes(archive.read_bytes()[:500])
        with pytest.raises(InputError, match=rf"{name}' cannot be read"):
            folder(archive)


def test_broken_image_in_an_archive(root, tmp_path):
    (root / "test/cat/1.png").write_bytes(b"no")
    with pytest.raises(
        InputError, match=r"a.zip/test/cat/1.png' is not an image that can be read \(no known format\); .*`skip_broken=True`"
    ):
        folder(pack(root, tmp_path / "a.zip"))


# Cache


def test_second_load_decodes_nothing(root, cache, decoded):
    first = folder(root)
    assert sorted(set(decoded)) == sorted(decoded[1:])  # the first image twice, for its size
    decoded.clear()
    again = folder(Path(os.path.relpath(root)))
    assert not decoded and fingerprint(again) == fingerprint(first) and again.classes == first.classes
    assert len(list(cache.iterdir())) == 1


def test_each_option_has_a_cache_of_its_own(root, cache):
    assert folder(root).images.shape[1:] == (4, 6, 3)
    assert folder(root, mode="L").images.shape[1:] == (4, 6, 1)
    assert folder(root, image_size=2).images.shape[1:] == (2, 2, 3)
    assert len(list(cache.iterdir())) == 3


def rename_class(root, old, new):
    for part in ("train", "test"):
        (root / part / old).rename(root / part / new)


def change(root):
    write(root / "train/dog/a.png", 99)
    os.utime(root / "train/dog/a.png", ns=(1, 1))


@pytest.mark.parametrize(
    ("act", "rows", "labels"),
    [
        (change, [3, 99, 1, 7, 6], [0, 1, 1, -1, -1]),
        (lambda root: write(root / "train/cat/a.png", 50), [50, 3, 2, 1, 7, 6], [0, 0, 1, 1, -1, -1]),
        (lambda root: (root / "train/dog/a.png").unlink(), [3, 1, 7, 6], [0, 1, -1, -1]),
        (lambda root: (root / "train/dog/b.png").rename(root / "train/cat/b.png"), [1, 3, 2, 7, 6], [0, 0, 1, -1, -1]),
        (lambda root: rename_class(root, "dog", "ant"), [2, 1, 3, 7, 6], [0, 0, 1, -1, -1]),
    ],
    ids=["changed", "added", "removed", "moved", "class renamed"],
)
def test_a_changed_folder_is_read_anew(root, cache, act, rows, labels):
    folder(root)
    act(root)
    data = folder(root)
    assert reds(data.images) == rows and data.labels.tolist() == labels
    assert data.classes[0] == ("ant" if (root / "train/ant").exists() else "cat")
    assert len(list(cache.iterdir())) == 1  # in place of the stale one


def test_of_a_changed_folder_only_what_changed_is_decoded(root, decoded):
    folder(root)
    change(root)
    write(root / "train/cat/new.png", 50)
    write(root / "test/dog/new.png", 51)
    (root / "unlabeled/1.png").unlink()
    decoded.clear()
    data = folder(root)
    assert {*decoded[1:]} == {"train/dog/a.png", "train/cat/new.png", "test/dog/new.png"}  # beside the first, for its size
    assert data.notes == (
        "images changed since they were last decoded (2 new, 1 changed, 1 gone); the others were not decoded again",
    )
    assert reds(data.images) == [3, 50, 99, 1, 6] and reds(data.test_images) == [4, 5, 51]
    assert folder(root).notes == (), "it is said once"
    assert fingerprint(data) == fingerprint(folder(root, cache=False))


def test_broken_images_that_were_left_out_move_no_other(root, decoded):
    (root / "train/dog/a.png").write_bytes(b"no")
    assert reds(folder(root, skip_broken=True).images) == [3, 1, 7, 6]
    write(root / "train/dog/c.png", 50)
    decoded.clear()
    data = folder(root, skip_broken=True)
    assert reds(data.images) == [3, 1, 50, 7, 6] and sorted(decoded[1:]) == ["train/dog/a.png", "train/dog/c.png"]
    assert "decoded (1 new); " in data.notes[0]


def test_other_labels_decode_nothing(root, tmp_path, decoded):
    table = tmp_path / "labels.csv"
    table.write_text("path,label\ntrain/dog/a.png,dog\ntrain/dog/b.png,cat\nunlabeled/1.png,\n")
    assert folder(root, labels_file=str(table)).labels.tolist() == [1, 0, -1]
    table.write_text("path,label\ntrain/dog/a.png,dog\ntrain/dog/b.png,cat\nunlabeled/1.png,cat\n")
    decoded.clear()
    data = folder(root, labels_file=str(table))
    assert data.labels.tolist() == [1, 0, 0] and {*decoded} == {"train/dog/a.png"} and data.notes == ()


def test_what_other_decoders_made_is_not_used(root, decoded, monkeypatch):
    folder(root)
    monkeypatch.setattr(PIL, "__version__", "99.0")
    decoded.clear()
    assert folder(root).notes == () and len({*decoded}) == 7


def test_grey_images_that_were_scaled_otherwise_are_decoded_again(tmp_path):
    for name, value in {"ant/0.png": 4000, "ant/1.png": 200, "bee/2.png": 3000}.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint16)).save(tmp_path / "data" / name)
    assert folder(tmp_path / "data", mode="L").depth == 12
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "data/ant/9.png")
    data = folder(tmp_path / "data", mode="L")
    assert data.depth == 16 and reds(data.images) == [4000 >> 8, 0, 40_000 >> 8, 3000 >> 8]
    (tmp_path / "data/ant/9.png").unlink()
    assert reds(folder(tmp_path / "data", mode="L").images) == [4000 >> 4, 200 >> 4, 3000 >> 4]


def test_a_class_that_became_empty_is_told_with_a_cache_there(root):
    folder(root)
    (root / "train/cat/deep/er/z.PNG").unlink()
    with pytest.raises(InputError, match="train/cat' has no images"):
        folder(root)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"rubbish",
        lambda data: data[:-700],
        lambda data: data.replace(b"\x03\x64\xc8", b"\x04\x64\xc8"),  # pixels
    ],
    ids=["empty", "another kind", "cut", "pixels changed"],
)
def test_a_damaged_cache_is_made_anew(root, cache, decoded, damage):
    first = folder(root)
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    decoded.clear()
    with pytest.warns(UserWarning, match="cannot be used and is made anew"):
        assert fingerprint(folder(root)) == fingerprint(first)
    assert decoded
    decoded.clear()
    assert fingerprint(folder(root)) == fingerprint(first) and not decoded


@pytest.mark.parametrize("skip", [False, True])
def test_what_is_large_is_decoded_to_disk_and_read_from_there(root, cache, monkeypatch, skip):
    expected = folder(root, cache=False)
    if skip:
        (root / "train/cat/a0.png").write_bytes(b"no")
    monkeypatch.setattr(place, "LARGE", 0)
    made = []
    room = place.room
    monkeypatch.setattr(place, "room", lambda *args: made.append(room(*args)) or made[-1])
    for data in (folder(root, skip_broken=skip), folder(root, skip_broken=skip)):
        assert isinstance(data.images, np.memmap) and not data.images.flags.writeable
        assert Path(data.images.filename).parent == cache == Path(data.test_images.filename).parent
        assert fingerprint(data) == fingerprint(expected) and data.names == expected.names
    assert len(made) == 1 and isinstance(made[0], np.memmap) and len(list(cache.iterdir())) == 1


def test_images_are_those_of_the_file_that_was_checked(root, cache, monkeypatch):
    """Another process may replace the cache between the check and the map."""
    first = folder(root)
    (file,) = cache.iterdir()
    mapped = kept._mapped

    def replaced(*args):
        other = file.with_name("other")
        other.write_bytes(b"of another folder")
        other.replace(file)
        return mapped(*args)

    monkeypatch.setattr(kept, "_mapped", replaced)
    assert fingerprint(folder(root)) == fingerprint(first)


def test_what_a_killed_process_left_is_removed(root, cache):
    folder(root)
    (file,) = cache.iterdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    host = platform.node()
    left, alive, elsewhere = (
        cache / f".{file.stem}.{where}.{number}.npz" for where, number in ((host, gone.pid), (host, 1), ("another", gone.pid))
    )
    for path in (left, alive, elsewhere):
        path.write_bytes(b"half")
    change(root)
    folder(root)
    assert {*cache.iterdir()} == {file, alive, elsewhere}


def test_where_the_disk_has_no_room_memory_is_used(root, cache, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place, "LARGE", 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not isinstance(place.room(cache / "x.npz", (2, 3)), np.memmap)
    assert fingerprint(folder(root)) == fingerprint(folder(root, cache=False))


def test_cache_can_be_off(root, cache):
    folder(root, cache=False)
    assert not cache.exists()


def test_an_unwritable_cache_is_a_warning(root, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="SSL_ZOO_CACHE"):
        assert len(folder(root).images) == 5


def test_where_the_cache_is(monkeypatch):
    def place():
        return cache_file(Path("/data/cats"), None, "RGB").parent

    assert place() == Path(os.environ["SSL_ZOO_CACHE"])
    monkeypatch.delenv("SSL_ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert place() == Path("/xdg/ssl_zoo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert place() == Path.home() / ".cache/ssl_zoo"
    monkeypatch.setattr(os.path, "expanduser", lambda text: text)  # as for a user without a home folder
    with pytest.raises(InputError, match="is not known; set SSL_ZOO_CACHE to a folder"):
        place()


# What can be wrong


def remove(*names):
    return lambda root: [shutil.rmtree(root / name) for name in names]


def several_sizes(root):
    write(root / "train/dog/c.png", size=(5, 7))


def truncated(root):
    buffer = io.BytesIO()
    Image.effect_noise((60, 40), 50).save(buffer, "JPEG")
    (root / "unlabeled/0.jpg").write_bytes(buffer.getvalue()[:-300])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            remove("train"),
            "has test/, unlabeled/ and nothing to train on: .*; expected class folders <class>/<image>, or train/<class>/",
        ),
        (remove("train", "test", "unlabeled"), "has no train/ folder and no class folders"),
        (remove("train/dog", "train/cat", "test/dog", "test/cat"), "train' has no class folders"),
        (remove("train/dog"), "train' has one class only, 'cat'"),
        (lambda root: (root / "test/dog").rename(root / "test/dgo"), r"test/dgo' has no counterpart .* in train/; add some"),
        (
            lambda root: (root / "test/dog").rename(root / "test/Dog"),
            r"test/Dog' has no counterpart .* in train/; rename it to dog",
        ),
        (lambda root: [(root / p / "ant").mkdir() for p in ("train", "test")], "data/train/ant' has no images"),
        (lambda root: write(root / "train/0.png"), "train' has 1 image in no class folder, such as '.*train/0.png'; sort them"),
        (lambda root: remove("unlabeled/x")(root) and (root / "unlabeled/1.png").unlink(), "data/unlabeled' has no images"),
        (several_sizes, r"train/cat/deep/er/z.PNG' is 4x6 and '.*train/dog/c.png' is 5x7 .*`image_size`"),
        (
            lambda root: (root / "test/dog/1.png").write_text("text"),
            r"test/dog/1.png' is not an image that can be read \(no known format\)",
        ),
        (
            lambda root: (root / "unlabeled/0.png").touch(),
            "unlabeled/0.png' is not an image that can be read \\(the file is empty",
        ),
        (truncated, r"unlabeled/0.jpg' is not an image that can be read \(image file is truncated"),
        (
            lambda root: (root / "train/cat/link.png").symlink_to("nowhere"),
            r"link.png' is not an image that can be read \(No such file",
        ),
    ],
)
def test_bad_folders_are_one_line(root, act, message):
    act(root)
    with pytest.raises(InputError, match=message) as caught:
        folder(root)
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


def test_missing_root(tmp_path):
    with pytest.raises(
        InputError, match=r"no folder or archive '.*nowhere'; expected class folders <class>/<image>, or train/<class>/"
    ):
        folder(tmp_path / "nowhere")
    (tmp_path / "data.rar").touch()
    with pytest.raises(InputError, match=r"neither a folder, nor an archive \(.zip"):
        folder(tmp_path / "data.rar")


@pytest.mark.parametrize(("options", "message"), [({"image_size": 0}, "image_size = 0"), ({"mode": "rgb"}, "mode = 'rgb'")])
def test_bad_options(root, options, message):
    with pytest.raises(InputError, match=message):
        folder(root, **options)


def test_a_listing_is_sorted_by_whole_names_whatever_lies_where(tmp_path):
    """A name's stamp does not depend on how folders are gone through: "b-1.png" is before "b/...", which is before "b0"."""
    names = ["a/b-1.png", "a/b/z.png", "a/b/c/é.png", "a/b0.png", "a/b!/x.png", "a-/1.png", "a/B/1.png", "a/b/\U0001f41c.png"]
    for name in names:
        write(tmp_path / "data/train" / name, 1)
    source = source_of(tmp_path / "data", None)
    found = [*source._listing()]
    assert found == sorted(found) and {f"train/{name}" for name in names} <= {name for name, _, _ in found}
    assert found.index(("train/a/b!/", 0, 0)) < found.index(("train/a/b/", 0, 0)) < found.index(("train/a/b/c/", 0, 0))
    lines = "\n".join(f"{name}\0{size}\0{time}" for name, size, time in [("", 0, 0), *found])
    versions = f"{kept.FORMAT} {PIL.__version__} {kept.register_heif()}"
    assert source.stamp == hashlib.blake2b(f"{versions}\n{lines}".encode(), digest_size=16).hexdigest()
    before = source.stamp
    write(tmp_path / "data/train/a-/1.png", 1, size=(5, 5))
    source.layout()
    assert source.stamp != before == kept.digest([("", 0, 0), *found]), "the layout's stamp is of what it lists"
