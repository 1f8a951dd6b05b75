"""What names mean."""

import pytest

from ssl_zoo.data.names import nearly_alike


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("brid", "bird", True),  # swapped
        ("brd", "bird", False),  # of three letters
        ("brds", "birds", True),  # left out
        ("birdd", "bird", True),  # put in
        ("Bird", "bird", False),  # which is refused elsewhere, where it matters
        ("bard", "bird", True),
        ("dirb", "bird", False),
        ("baad", "bird", False),
        ("class1", "class2", False),  # numbers are meant
        ("frog", "ship", False),
    ],
)
def test_a_rare_class_that_is_one_slip_from_another(one, other, alike):
    assert nearly_alike({one: 4, other: 40}) == ([(one, other)] if alike else [])


def test_few_images_of_each_and_many_of_each_are_no_slip():
    assert (
        nearly_alike({"bard": 5, "bird": 5})
        == []
        == nearly_alike({"bard": 6, "bird": 40})
        == nearly_alike({"bard": 0, "bird": 40})
    )
