"""What is said fits on a line and into the output."""

import io
import sys

import pytest

from ssl_zoo.errors import LONGEST, one_line, printable, shown


def test_lines_stay_and_what_cannot_be_printed_is_escaped():
    assert printable("a\nb\tc\x1b[1m\udcff\u00e9") == "a\nb c\\x1b[1m\\udcff\u00e9"
    assert one_line("a\r\nb\tc\0") == "a  b c\\x00"
    assert one_line("x" * (LONGEST + 1)) == "x" * LONGEST + " ..."


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [("utf-8", "\u00e9 \u732b \\udcff"), ("latin-1", "\u00e9 \\u732b \\udcff"), ("ascii", "\\xe9 \\u732b \\udcff")],
)
def test_letters_that_the_output_lacks_are_escaped(encoding, seen, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    print(shown("\u00e9 \u732b \udcff"), end="", flush=True)
    assert output.buffer.getvalue().decode(encoding) == seen
