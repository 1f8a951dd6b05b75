"""Many texts in one buffer are as a tuple of them."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_zoo.data import texts as module
from ssl_zoo.data.texts import Texts, take_texts
from ssl_zoo.errors import InputError

WORDS = ("train/ant/1.png", "", "é/日本/🐜.png", "b\udcff.png", "z")  # also of bytes that are no UTF-8
lists = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=5), max_size=12)
numbers = st.integers(-15, 15) | st.none()


@settings(deadline=None, derandomize=True)
@given(lists, numbers, numbers, st.sampled_from([None, 1, 2, -1, -3]))
def test_it_is_as_a_tuple(words, first, last, step):
    found, cut = Texts.of(words), slice(first, last, step)
    assert len(found) == len(words) and [*found] == words and found == words == found == tuple(words)
    assert found[cut] == words[cut] and isinstance(found[cut], Texts) and pickle.loads(pickle.dumps(found[cut])) == words[cut]
    assert [found[i] for i in range(-len(words), len(words))] == words * 2
    rows = np.random.default_rng(len(words)).integers(0, max(len(words), 1), 7 * bool(words))
    assert take_texts(found, rows) == take_texts(tuple(words), rows) == tuple(words[row] for row in rows)
    assert found.take(rows)[2:] == [words[row] for row in rows[2:]]


def test_an_array_of_places_takes_as_it_does_of_an_array():
    found, words = Texts.of(WORDS), np.array(WORDS, dtype=object)
    for places in (np.array([3, 0, -1]), np.array([], int), words > "c", np.array([1], np.int32)):
        assert isinstance(found[places], Texts) and found[places] == words[places].tolist()
    assert found[np.int64(2)] == found[np.array(2)] == WORDS[2]
    for places in (np.array([5]), np.array([-6]), np.array([True]), np.array([0.5])):
        with pytest.raises(IndexError):
            found[places]


def test_it_goes_into_json_as_a_list():
    assert json.loads(json.dumps(list(Texts.of(WORDS)))) == [*WORDS]


def test_what_is_large_is_gone_through_in_parts(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    monkeypatch.setattr(module, "BLOCK", 7)
    words = [*WORDS, *map(str, range(95))]
    found = Texts(Texts.of(iter(words)).characters)
    rows = np.random.default_rng(0).permutation(100)
    assert [*found] == words and found.take(rows) == [words[row] for row in rows] and found[10:20] == words[10:20]


def test_what_it_costs():
    """The bytes of the texts, and nine more for each; a slice costs its own part when it is sent to another process."""
    found = Texts.of(f"train/ant/{i:030}" for i in range(1000))
    assert found.characters.nbytes + found._starts.nbytes == 1000 * (40 + 9) + 8
    assert len(pickle.dumps(found[:10])) < 1500


def test_other_things_are_not_equal_to_it():
    found = Texts.of(("a", "b"))
    assert found != ("a",) and found != ("a", "c") and found != "ab" and found != {"a", "b"} and bool(found) and not found[:0]
    assert "b" in found and found.index("b") == 1 and repr(found) == "<2 texts: 'a', 'b'>"
    assert Texts.of(found) is found and take_texts((), np.arange(3)) == take_texts(found[:0], np.arange(3)) == ()
    for place in (2, -3):
        with pytest.raises(IndexError, match="there is no text"):
            found[place]
    with pytest.raises(TypeError):
        found["a"]


def test_nul_ends_a_text_and_is_in_none():
    with pytest.raises(InputError, match=r"the name 'b\\x00c' contains NUL; rename the file"):
        Texts.of(("a", "b\0c"))


def test_it_may_be_mapped_from_a_file(tmp_path):
    np.save(tmp_path / "names.npy", Texts.of(WORDS).characters)
    found = Texts(np.load(tmp_path / "names.npy", mmap_mode="r"))
    assert found == WORDS == pickle.loads(pickle.dumps(found)) and type(found.characters) is np.ndarray
    assert isinstance(found.characters.base, np.memmap)
