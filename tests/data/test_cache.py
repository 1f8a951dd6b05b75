"""What a cache keeps beside the images, and when it is trusted without being read."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from ssl_zoo.data import cache as kept
from ssl_zoo.data import dataset as module
from ssl_zoo.data.cache import load, save
from ssl_zoo.data.dataset import Dataset, digests_of, fingerprint
from ssl_zoo.data.holdout import with_test_set
from ssl_zoo.data.leakage import short_hashes
from ssl_zoo.data.open_set import with_open_set
from ssl_zoo.data.texts import Texts

STAMP = "of this listing"


@pytest.fixture
def data():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 6, 3), np.uint8)
    names = tuple(f"{part}/photo {i}.png" for part, n in (("train", 14), ("test", 6)) for i in range(n))
    return Dataset("folder", images[:14], np.arange(14) % 3, images[14:], np.arange(6) % 3, ("a", "b", "c"), names)


@pytest.fixture
def file(data, tmp_path):
    save(tmp_path / "x.npz", STAMP, data)
    return tmp_path / "x.npz"


@pytest.fixture
def whole(monkeypatch):
    """The files that were read whole."""
    read, test = [], zipfile.ZipFile.testzip
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda self: read.append(self.filename) or test(self))
    return read


def flip(file, at, keep_time=False):
    """Another byte in place of one of the file, in place."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0] ^ 1
        stream.seek(at)
        stream.write(bytes([byte]))
    if keep_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def place_of(file, member):
    """Where the last byte of a member lies."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(f"{member}.npy")
        header = file.read_bytes()[info.header_offset + 26 :][:4]
        return info.header_offset + 30 + sum(int.from_bytes(header[i : i + 2], "little") for i in (0, 2)) + info.file_size - 1


def test_hashes_are_kept_and_nothing_is_read_for_them(data, file, whole, monkeypatch):
    expected, short = fingerprint(data), short_hashes(np.concatenate((data.images, data.test_images)))
    found = load(file, STAMP)
    monkeypatch.setattr(module.hashlib, "blake2b", None)  # which nobody calls
    assert not whole and fingerprint(found) == expected and digests_of(found).images.tolist() == short.tolist()
    assert isinstance(found.names, Texts) and found.names == data.names and found.classes == data.classes
    for array in (found.images, found.test_images, digests_of(found).images, found.names.characters.base):
        assert isinstance(array, np.memmap)


@pytest.mark.parametrize("member", ["images", "test_images", "labels", "names", "short_hashes", "data_hash"])
def test_a_file_in_which_a_byte_was_changed_is_refused(file, member, whole):
    flip(file, place_of(file, member))
    with pytest.warns(UserWarning, match="cannot be used and is made anew"):
        assert load(file, STAMP) is None
    assert whole


def test_what_is_trusted_is_the_time_of_change(file, whole):
    """A program that sets the time back after its change is believed, as the page on images says."""
    flip(file, place_of(file, "images"), keep_time=True)
    found = load(file, STAMP)
    assert not whole and short_hashes(found.images[-1:]) != digests_of(found).images[13]


def test_a_copied_file_is_read_whole_once(data, file, whole):
    given = file.stat().st_mtime_ns
    assert given % (2 * 10**9) == 0 and given < os.stat(file.parent).st_mtime_ns  # what any file system keeps, and earlier
    file.write_bytes(file.read_bytes())
    assert fingerprint(load(file, STAMP)) == fingerprint(data) and len(whole) == 1
    assert file.stat().st_mtime_ns == given and load(file, STAMP) is not None and len(whole) == 1


def test_what_is_written_during_the_check_is_not_trusted(file, whole, monkeypatch):
    file.write_bytes(file.read_bytes())
    test = zipfile.ZipFile.testzip
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda self: (test(self), flip(file, place_of(file, "images")))[0])
    load(file, STAMP)
    monkeypatch.setattr(zipfile.ZipFile, "testzip", test)
    with pytest.warns(UserWarning, match="images.npy is damaged"):
        assert load(file, STAMP) is None and len(whole) == 2


def test_all_is_on_the_disk_before_it_is_trusted(data, tmp_path, monkeypatch):
    """Else a machine that stops then may leave zeros in a file that has its name and time."""
    called = []

    def noted(name, do):
        return lambda *args, **more: (called.append(name), do(*args, **more))

    for name in ("fsync", "utime", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    save(tmp_path / "x.npz", STAMP, data)
    assert called == ["fsync", "utime", "replace"] and load(tmp_path / "x.npz", STAMP) is not None


def test_where_a_time_cannot_be_set_the_file_is_read_whole_each_time(data, tmp_path, whole, monkeypatch):
    def refused(*args, **more):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    monkeypatch.setattr(os, "supports_fd", {*os.supports_fd, refused})
    save(tmp_path / "x.npz", STAMP, data)
    for count in (1, 2):
        assert fingerprint(load(tmp_path / "x.npz", STAMP)) == fingerprint(data) and len(whole) == count


def test_a_file_without_hashes_serves_on(data, file, whole):
    """As an earlier version wrote it."""
    with np.load(file) as content:
        old = {name: content[name] for name in content.files if name not in ("written", "data_hash", "short_hashes", "digests")}
    np.savez(file, **old)
    found = load(file, STAMP)
    assert whole and digests_of(found) is None and fingerprint(found) == fingerprint(data) and found.names == data.names


def test_hashes_hold_while_the_arrays_are_those_they_are_of(data, file):
    for found in (load(file, STAMP), save(file, STAMP, data)):
        assert digests_of(found) and digests_of(pickle.loads(pickle.dumps(found))) and digests_of(found._replace(name="x"))
        for name in ("images", "labels", "test_images", "test_labels"):
            other = found._replace(**{name: getattr(found, name)[::-1]})
            assert digests_of(other) is None and fingerprint(other) != fingerprint(found)
            with pytest.raises(ValueError, match="read-only"):
                getattr(found, name)[0] = 0
        for other in (found._replace(classes=("c", "b", "a")), found._replace(validation=(12, 14))):
            assert digests_of(other) is None and fingerprint(other) != fingerprint(found)


def test_data_that_are_parted_otherwise_have_none(data, file):
    found = load(file, STAMP)
    without = found._replace(test_images=found.test_images[:0], test_labels=found.test_labels[:0], names=found.names[:14])
    pixels = dict(zip(data.names, np.concatenate((data.images, data.test_images)), strict=True))
    for other in (with_test_set(without, 0.4), with_open_set(found, ["b"])):
        assert other.digests is None and isinstance(other.names, Texts) and other.names != data.names[: len(other.names)]
        images = np.concatenate((other.images, other.test_images))
        assert all((image == pixels[name]).all() for image, name in zip(images, other.names, strict=True))


def test_lines_about_files_may_hold_anything(data, tmp_path):
    save(tmp_path / "x.npz", STAMP, data._replace(skipped=("'a.png' is broken (\0)", "b"), notes=("", "é")))
    found = load(tmp_path / "x.npz", STAMP)
    assert found.skipped == ("'a.png' is broken ( )", "b") and found.notes == ("", "é")
    assert kept.load(tmp_path / "x.npz", "of another") is None
