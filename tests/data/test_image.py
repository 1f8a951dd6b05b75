"""One image file's content to pixels: what viewers show, and the reason where there is nothing to show."""

import io
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile
from sklearn.datasets import load_sample_images

from ssl_zoo.data import image as module
from ssl_zoo.data.image import decode
from ssl_zoo.data.names import is_image


def content(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(seed=0, size=(16, 16), channels=3):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)


def exif(orientation, *odd):
    """A JPEG's EXIF segment with the orientation, and other entries as they are given."""
    entries = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + b"".join(odd)
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1 + len(odd)) + entries + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block


# JPEG: reduced scale, and EXIF


@pytest.mark.parametrize("size", [(32, 32), (96, 96), (224, 224), (48, 96)])
@pytest.mark.parametrize("shape", [(4200, 2800), (2801, 4203)])
def test_a_large_photo_at_reduced_scale_is_that_at_full_scale(size, shape, monkeypatch):
    photo = content(Image.fromarray(load_sample_images().images[0]).resize(shape, Image.Resampling.BICUBIC), "JPEG", quality=90)
    quick = decode(photo, size, "RGB").pixels.astype(int)
    monkeypatch.setattr(module, "REDUCED", 10**6)
    difference = abs(quick - decode(photo, size, "RGB").pixels)
    assert difference[1:-1, 1:-1].max() <= 2 and 0 < difference.mean() < 0.25  # zero: it was not reduced
    assert difference.max() <= 6  # where the original ends within a pixel of the reduced one


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduced", [4, 10**6])
def test_every_orientation_is_turned_at_any_scale(orientation, reduced, monkeypatch):
    monkeypatch.setattr(module, "REDUCED", reduced)
    turns = [None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]
    upright = Image.fromarray(load_sample_images().images[1])  # 640 x 427
    turn = turns[orientation - 1]
    back = {"ROTATE_90": "ROTATE_270", "ROTATE_270": "ROTATE_90"}.get(turn, turn)
    stored = upright if turn is None else upright.transpose(getattr(Image.Transpose, back))
    file = content(stored, "JPEG", quality=95)
    turned = decode(file[:2] + exif(orientation) + file[2:], (24, 32), "RGB").pixels.astype(int)
    assert abs(turned - decode(content(upright, "JPEG", quality=95), (24, 32), "RGB").pixels).mean() < 1


@pytest.mark.parametrize(("size", "scale"), [((24, 32), 0.5), ((48, 64), 1.0), ((96, 96), 2.0), ((48, 128), 2.0), (None, 1.0)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_scale_is_that_of_the_sides_as_they_are_seen(size, scale, kind):
    """So that a photo just covers its size; also where it is stored on its side."""
    upright = Image.fromarray(noise(size=(48, 64)))
    assert decode(content(upright, kind), size, "RGB").scale == scale
    if kind == "JPEG":
        file = content(upright.transpose(Image.Transpose.ROTATE_90), kind)
        turned = decode(file[:2] + exif(6) + file[2:], size, "RGB")
        assert turned.scale == scale and turned.pixels.shape[:2] == (size or (48, 64))


def test_a_photo_at_reduced_scale_has_the_scale_of_the_whole():
    photo = content(Image.fromarray(noise(size=(600, 800))), "JPEG")
    assert decode(photo, (30, 40), "RGB").scale == 0.05


@pytest.mark.parametrize(
    "odd",
    [
        struct.pack("<HHI4s", 0x128, 2, 2, b"2\0\0\0"),  # a unit as text
        struct.pack("<HHII", 0x8769, 4, 1, 10**6),  # a block beyond the end
        struct.pack("<HHII", 0x11A, 5, 1, 10**6),  # a fraction beyond the end
        struct.pack("<HHII", 0x10F, 77, 1, 3),  # of no known type
    ],
)
def test_an_odd_tag_refuses_no_photo(odd):
    file = content(Image.fromarray(noise(size=(16, 32))), "JPEG")
    assert decode(file[:2] + exif(6, odd) + file[2:], None, "RGB").pixels.shape == (32, 16, 3)


def test_a_damaged_exif_block_refuses_no_photo():
    file = content(Image.fromarray(noise(size=(16, 32))), "JPEG")
    block = b"Exif\0\0II*\0\xff\xff\xff\xff"
    damaged = file[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + file[2:]
    assert decode(damaged, None, "RGB").pixels.shape == (16, 32, 3)


def test_pictures_of_a_phone_with_several_images_are_read():
    picture = Image.fromarray(noise())
    file = content(picture, "MPO", save_all=True, append_images=[picture])
    assert decode(file, None, "RGB").pixels.shape == (16, 16, 3)


# PNG: chunks


def chunk(kind, data, crc=None):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)


@pytest.mark.parametrize(
    "damaged",
    [
        chunk(b"tEXt", b"Title\0A cat", crc=0),
        chunk(b"zTXt", b"Title\0\0no deflate stream"),
        chunk(b"iTXt", b"\xff"),
        chunk(b"iCCP", b"profile\0\0rubbish"),
        chunk(b"pHYs", b"\0"),
    ],
)
def test_a_damaged_text_chunk_refuses_no_image(damaged):
    pixels = noise()
    file = content(Image.fromarray(pixels))
    at = 8 + 25  # after the header
    assert (decode(file[:at] + damaged + file[at:], None, "RGB").pixels == pixels).all()


def test_damaged_pixels_are_no_image():
    file = content(Image.fromarray(noise()))
    damaged = file[:33] + chunk(b"tEXt", b"Title\0A cat") + file[33 : file.index(b"IDAT") + 30]
    with pytest.raises(ValueError, match=r"[Tt]runcated"):
        decode(damaged, None, "RGB")


# Transparency, and 16 bits


def icon(colour, corner=4, mode="RGBA"):
    """A square of one colour; everything else has that colour too, and is transparent."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[corner : corner + 8, corner : corner + 8, 3] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("colour", "ground"), [(0, 255), (200, 255), (255, 0)])
def test_a_shape_in_alpha_alone_is_seen(mode, colour, ground):
    found = decode(content(icon(colour, mode=mode)), None, "RGB")
    assert found.shaped and (found.pixels[4:12, 4:12] == colour).all() and (found.pixels[:4] == ground).all()


def test_a_shape_in_the_transparency_of_a_palette_is_seen():
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([10, 10, 10, 10, 10, 10])
    palette.paste(1, (4, 4, 12, 12))
    found = decode(content(palette, transparency=0), None, "RGB")
    assert found.shaped and (found.pixels[6, 6] == 10).all() and (found.pixels[0, 0] == 255).all()


def test_other_transparency_is_dropped():
    pixels = noise(channels=4)
    assert (decode(content(Image.fromarray(pixels)), None, "RGB").pixels == pixels[..., :3]).all()
    plain = decode(content(Image.new("RGBA", (4, 4), (7, 7, 7, 255))), None, "RGB")
    assert not plain.shaped and (plain.pixels == 7).all()


def test_grey_of_sixteen_bits_by_the_bits_in_use():
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
    found = decode(content(Image.fromarray(values)), None, "L")
    assert found.largest == 4080 and len(np.unique(found.pixels)) == 16
    assert (decode(content(Image.fromarray(values)), None, "L", depth=12).pixels[..., 0] == values >> 4).all()
    assert (decode(content(Image.fromarray(values * 16)), None, "L", depth=12).pixels.max()) == 255  # brighter than any before


# What is no image


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of git-lfs, not the image: `git lfs pull`"),
        (b"<!DOCTYPE html><html>Not found", "an HTML page, as a failed download leaves it"),
        (b"\xef\xbb\xbf \n<HTML><body>", "an HTML page"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"8BPS\0\1", "a Photoshop file"),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
            "a HEIC photo, as phones make them: save it as JPEG, or `pip install",
        ),
        (b"\0\0\0\x18ftypmp42" + bytes(99), "a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"\0\5\x16\7" + bytes(99), "a resource fork of a Mac"),
        (b"Dear photographer,", "no known format"),
    ],
)
def test_the_reason_is_said_as_a_person_would(start, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    module.register_heif.cache_clear()
    with pytest.raises(ValueError) as caught:
        decode(start, None, "RGB")
    assert str(caught.value).startswith(reason) and "\n" not in str(caught.value)
    module.register_heif.cache_clear()


def test_a_heic_photo_is_read_where_its_package_is(monkeypatch):
    """The package registers an opener with Pillow, under the format HEIF; here one that gives a single colour."""

    class Opener(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode = (6, 4), "RGB"
            if not isinstance(getattr(type(self), "mode", None), property):  # Pillow 10.0
                self.mode = "RGB"
            self.tile = []

        def load(self):
            self.im = Image.new("RGB", (6, 4), (1, 2, 3)).im
            return Image.Image.load(self)

    def register_heif_opener():
        Image.register_open("HEIF", Opener, lambda prefix: prefix[4:8] == b"ftyp")

    package = types.SimpleNamespace(register_heif_opener=register_heif_opener, __version__="1.0")
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    module.register_heif.cache_clear()
    try:
        found = decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), None, "RGB")
        assert found.pixels.shape == (4, 6, 3) and found.pixels[0, 0].tolist() == [1, 2, 3]
        assert module.register_heif() == "1.0"
    finally:
        Image.OPEN.pop("HEIF", None)
        Image.ID.remove("HEIF")
        module.register_heif.cache_clear()


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JPG", "jpeg"])
def test_endings_of_jpeg(ending):
    assert is_image(f"photo.{ending}")
