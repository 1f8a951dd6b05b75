"""A page needs nothing else, runs nothing but the script that it is made with, and its tables sort."""

import re

import pytest

from ssl_zoo.pages.document import page
from ssl_zoo.pages.markup import Markup, element, joined
from ssl_zoo.pages.sorting import SORT
from tests.browser import chromium
from tests.pages.test_markup import Read


def test_a_page_without_a_script_allows_none():
    made = page("a <title>", element("p", "text"))
    assert made.startswith("<!doctype html>\n<html lang=") and "<title>a &lt;title&gt;</title>" in made
    policy = next(given["content"] for tag, given in Read(made).tags if given.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src" not in policy and "<script" not in made
    assert not re.search(r"https?:|src=|href=|url\(|@import", made)


def table(*rows):
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in ("name", "number", ""))))
    return element("table", head, element("tbody", *(element("tr", *cells) for cells in rows)), class_="sorts")


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def test_a_table_sorts_by_any_column_and_by_keys(browser, tmp_path):
    cells = [("b", "10"), ("c", ""), ("a", "9"), ("B2", "1e1"), ("b10", "Infinity")]
    rows = [(element("td", name), element("td", "shown", data_value=number), element("td", "-")) for name, number in cells]
    (tmp_path / "p.html").write_text(page("t", table(*rows), script=SORT), encoding="utf-8")
    browser.get((tmp_path / "p.html").as_uri())

    def names():
        return browser.execute_script("return [...document.querySelectorAll('tbody td:first-child')].map(one => one.textContent)")

    def sorts():
        return [head.get_attribute("aria-sort") for head in browser.find_elements("tag name", "th")]

    by_name, by_number = browser.find_elements("css selector", "th button")
    by_number.click()
    assert names() == ["a", "b", "B2", "b10", "c"] and sorts() == [None, "ascending", None], "empty last, equals as they were"
    by_number.click()
    assert names() == ["b10", "b", "B2", "a", "c"] and sorts() == [None, "descending", None], "and last again"
    by_name.send_keys("\ue007")  # the key Enter
    assert names() == ["a", "b", "b10", "B2", "c"] and sorts() == ["ascending", None, None]
    by_name.send_keys(" ")
    assert names() == ["c", "B2", "b10", "b", "a"] and sorts() == ["descending", None, None]
    assert browser.get_log("browser") == []


def test_no_other_script_runs_on_a_page_that_has_one(browser, tmp_path):
    bad = Markup("<script>window.ran = 1</script><img src=x onerror='window.ran = 2'><p onclick='window.ran = 3'>p</p>")
    (tmp_path / "p.html").write_text(page("t", joined(table(), bad), script=SORT), encoding="utf-8")
    browser.get((tmp_path / "p.html").as_uri())
    browser.find_element("tag name", "p").click()
    assert browser.execute_script("return window.ran") is None and browser.find_elements("css selector", "th button")
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))
