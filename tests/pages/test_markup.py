"""What goes into a page is text there, whatever it says."""

from html.parser import HTMLParser

import pytest

from ssl_zoo.errors import one_line
from ssl_zoo.pages.markup import Markup, counted, element, file_name, joined, listed, name, percent, shortened, table

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</td></table><b>",
    "&lt;b&gt; &amp;",
    "two\nlines\r\tand a tab",
    "not utf-8 \udcff",
    "a\u202etxet.esrever",
    "mark \u200f\u2067 of direction",
    "nul \x00 and \x1b[31m",
    "]]>--><!--",
]


class Read(HTMLParser):
    """Elements in order, and text, as a browser has them."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_text_in_every_place(text):
    shown = one_line(text)
    for made in (element("p", text), name(text), file_name(text), listed([text]), table(text, [text], [[text]])):
        found = Read(made)
        assert {tag for tag, _ in found.tags} <= {"p", "bdi", "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "wbr"}
        assert all({*given} <= {"title", "class", "tabindex", "role", "aria-label", "scope"} for _, given in found.tags)
        assert found.text in (shown, 2 * shown) and made.encode("utf-8") and made.isprintable()
    ((tag, given),) = Read(element("img", alt=text)).tags
    assert (tag, given) == ("img", {"alt": shown})
    assert Read(table(text, [text], [[text]])).tags[0][1]["aria-label"] == shown


def test_markup_is_put_in_as_it_is_and_attributes_are_named():
    made = element("a", Markup("<b>1</b>"), "<b>", class_="k", aria_label='"', data_x=None)
    assert made == '<a class="k" aria-label="&quot;"><b>1</b>&lt;b&gt;</a>' and isinstance(made, Markup)
    assert element("img", src="x") == '<img src="x">' and joined("a", Markup("<i>"), between="<") == "a&lt;<i>"


def test_names_are_cut_in_the_middle_and_whole_where_they_are_pointed_at():
    assert shortened("a" * 40) == "a" * 40 and shortened("ab" * 30, 10) == "ababa…abab" and len(shortened("x" * 200)) == 40
    assert name("short") == "<bdi>short</bdi>" and name("ab" * 30, 10) == f'<bdi title="{"ab" * 30}">ababa…abab</bdi>'
    assert file_name("a/b<.png") == "<bdi>a/<wbr>b&lt;.png</bdi>"


def test_numbers():
    assert percent(0.8349) == "83.5 %" and element("b", "95 % of") == "<b>95&nbsp;% of</b>"
    assert counted(1, "class", "classes") == "1 class" and counted(1200, "class", "classes") == "1,200 classes"
