"""Copies are found by sorted hashes and pixels as a dictionary of digests finds them, whatever the hash."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_zoo.data import leakage
from ssl_zoo.data.leakage import contradictions, leaks, pictures, short_hashes


def digests(images):
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def leaks_by_dictionary(trained, scored, rows):
    first = {}
    for row in rows:
        first.setdefault(trained[row], int(row))
    return [(row, first[image]) for row, image in enumerate(scored) if image in first]


def contradictions_by_dictionary(images, labels):
    firsts = {}
    for row, image in enumerate(images):
        if labels[row] >= 0:
            firsts.setdefault(image, {}).setdefault(int(labels[row]), row)
    known = [row for row in range(len(images)) if labels[row] >= 0]
    others = [(row, [first for k, first in firsts[images[row]].items() if k != labels[row]]) for row in known]
    return [(row, found[0]) for row, found in others if found]


def with_copies(seed, trained, scored, different):
    """Images of which few are different, so that many are copies; those that differ do so in one byte alone."""
    draw = np.random.default_rng(seed)
    several = np.repeat(draw.integers(0, 256, (1, 3, 5, 3), np.uint8), different, axis=0)
    bits = (1 << draw.integers(0, 8, different)).astype(np.uint8)
    several.reshape(different, -1)[np.arange(different), draw.integers(0, 45, different)] ^= bits
    return several[draw.integers(0, different, trained)], several[draw.integers(0, different, scored)], draw


@pytest.mark.parametrize("bits", [0, 1, 2, 64])
@settings(deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 30), trained=st.integers(1, 40), scored=st.integers(0, 12), different=st.integers(1, 60))
def test_it_finds_what_a_dictionary_finds(bits, seed, trained, scored, different):
    """Also with a hash of two values, or of one: then pixels alone tell."""
    images, tests, draw = with_copies(seed, trained, scored, different)
    every = np.concatenate((images, tests))
    known = short_hashes(every) & np.uint64((1 << bits) - 1)
    one, other = pictures(images, tests, known=known)
    of_image, of_test = digests(images), digests(tests)
    rows = draw.permutation(trained)[: draw.integers(0, trained + 1)]
    assert leaks(one, other, rows) == leaks_by_dictionary(of_image, of_test, rows)
    assert leaks(one, other) == leaks_by_dictionary(of_image, of_test, range(trained))
    held_out, learnt = rows[:5], rows[5:]
    assert leaks(one, one[held_out], learnt) == leaks_by_dictionary(of_image, [of_image[row] for row in held_out], learnt)
    labels = draw.integers(-1, 3, len(every))
    assert contradictions(np.concatenate((one, other)), labels) == contradictions_by_dictionary([*of_image, *of_test], labels)


def test_each_row_has_the_first_with_its_pixels(monkeypatch):
    images, _, _ = with_copies(0, 300, 0, 40)
    of = digests(images)
    monkeypatch.setattr(leakage, "CHUNK", 7)
    assert np.concatenate(pictures(images[:100], images[100:])).tolist() == [of.index(one) for one in of]


@pytest.mark.parametrize("shape", [(32, 32, 3), (5, 7, 1), (1, 17, 1)])
def test_hashes_differ_where_images_do(shape):
    """By one bit of any byte, by two bytes that change places, by the top bits of two words; in whatever memory they lie."""
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    size = image.size
    flat = np.repeat(image.reshape(1, -1), 8 * size + 2, axis=0)
    flat[np.arange(8 * size), np.arange(8 * size) // 8] ^= (1 << np.arange(8 * size) % 8).astype(np.uint8)
    flat[-2, [0, 5]] = flat[-2, [5, 0]]
    flat[-1, [3, 11]] ^= 128
    images = np.concatenate((image[None], flat.reshape(-1, *shape)))
    found = short_hashes(images)
    assert len({*found.tolist()}) == len(images) and found.dtype == np.uint64
    assert np.array_equal(short_hashes(np.asfortranarray(images)), found)
    assert np.array_equal(short_hashes(images[1::2]), found[1::2])


def test_small_images_are_no_copies_and_no_images_have_none():
    small = np.zeros((3, 4, 4, 1), np.uint8)
    assert [part.tolist() for part in pictures(small, small[:2])] == [[0, 1, 2], [3, 4]]
    images = np.zeros((2, 5, 4, 1), np.uint8)
    assert [part.tolist() for part in pictures(images, images[:0])] == [[0, 0], []]


def test_hashes_are_frozen():
    """A cache keeps them: others would have to be kept under another name."""
    images = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    assert short_hashes(images).tolist() == [5305151556698681332, 6187585188082962732]
