"""The name of a processor tells it from another that rounds differently."""

import pytest

from ssl_zoo.device import told_by

LINES = "processor\t: 0\nvendor_id\t: X\ncpu family\t: 25\nmodel\t\t: {}\nmodel name\t: {}\n\nprocessor\t: 1\nmodel\t\t: 99\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AMD EPYC", "AMD EPYC (family 25, model 17)"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "Intel(R) Xeon(R) CPU @ 2.20GHz (family 25, model 17)"),
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763 64-Core Processor"),
    ],
)
def test_a_name_without_a_number_gets_the_processors_own(name, told):
    assert told_by(LINES.format(17, name)) == told


def test_two_processors_of_one_name_are_told_apart():
    assert told_by(LINES.format(17, "AMD EPYC")) != told_by(LINES.format(1, "AMD EPYC"))


def test_where_nothing_is_said_there_is_no_name():
    assert told_by("") == told_by("flags\t: neon\n") == ""
