"""The page in headless Chromium: sorted, filtered, opened, laid beside another file, without a script, and on paper."""

import json
import re

import pytest

from ssl_zoo.tables.rows import data_of
from ssl_zoo.tables.site.page import site
from ssl_zoo.tables.site.sources import read_sources
from tests.browser import INSIDE, LEGIBLE, chromium, screen
from tests.pages.test_markup import HOSTILE
from tests.tables.rows import lost, row

BAD = "<img src=x onerror='window.ran = 1'><script>window.ran = 2</script>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """Two files: one of two nets and numbers of labels, one of another data set, whose rows are hostile."""
    top = tmp_path_factory.mktemp("site")
    ours = [
        row(alg, seed, accuracy, net=net, labels=labels, split_hash=f"{labels}-{seed}", accuracy_oracle=0.99)
        for alg, accuracy in (("supervised", 0.5), ("b", 0.75), ("a", 0.625))
        for net in ("n", "m")
        for labels in (9, 100, "all")
        for seed in (0, 1)
    ]
    theirs = [row(BAD, seed, net=BAD, dataset=f"{BAD}'\"", device=BAD, plugins=BAD) for seed in (0, 1)]
    for name, rows in (("ours", ours), ("theirs", theirs)):
        (top / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    made = site(*read_sources([top / "ours.jsonl", top / "theirs.jsonl"], False))
    (top / "page.html").write_text(made, encoding="utf-8")
    return top / "page.html"


@pytest.fixture
def at(browser, page):
    """The page, anew, on a wide screen. No test may leave an error, a script that ran, or something fetched."""
    screen(browser, 1280)
    browser.get("about:blank")
    browser.get(page.as_uri())
    yield browser
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert browser.get_log("browser") == [] and fetched == [] and browser.execute_script("return window.ran") is None


FIRST = "#f0 .one"  # the first table of the first file


def lines(browser, part=FIRST):
    """Method and labels of the lines that are shown of the first table of a part."""
    (table, *_) = browser.find_elements("css selector", f"{part} > .wide table")
    rows = table.find_elements("css selector", "tbody tr")
    return [tuple(cell.text for cell in line.find_elements("css selector", "th, td")[:2]) for line in rows if line.is_displayed()]


def choose(browser, name, text):
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("id", f"filter-{name}")).select_by_visible_text(text)


def test_a_table_sorts_by_any_column(at):
    buttons = at.find_elements("css selector", f"{FIRST} > .wide th button")[:9]
    assert [button.text.rstrip(" ↕") for button in buttons][:3] == ["method", "labels", "error rate, %"] and len(buttons) == 9
    buttons[1].click()
    assert [labels for _, labels in lines(at)] == ["9"] * 3 + ["100"] * 3 + ["all"] * 3
    buttons[2].click()
    assert [method for method, _ in lines(at)] == ["b"] * 3 + ["a"] * 3 + ["supervised"] * 3
    buttons[2].send_keys("\ue007")
    assert [method for method, _ in lines(at)] == ["supervised"] * 3 + ["a"] * 3 + ["b"] * 3
    assert at.find_elements("css selector", f"{FIRST} th")[2].get_attribute("aria-sort") == "descending"


def test_filters_leave_what_is_chosen_and_say_how_much(at):
    status = at.find_element("id", "shown")
    assert status.text == "19 of 19 lines shown" and status.get_attribute("role") == "status"
    choose(at, "labels", "100")
    assert lines(at) == [("supervised", "100"), ("a", "100"), ("b", "100")] and status.text == "6 of 19 lines shown"
    assert not at.find_element("id", "f1").is_displayed(), "a file of which nothing is left"
    choose(at, "net", "m")
    assert status.text == "3 of 19 lines shown" and not at.find_elements("css selector", FIRST)[0].is_displayed()
    choose(at, "dataset", f"{BAD}'\"")
    assert status.text == "0 of 19 lines shown; choose fewer filters"
    for name in ("labels", "net"):
        choose(at, name, "any")
    assert status.text == "1 of 19 lines shown" and at.find_element("id", "f1").is_displayed()
    choose(at, "dataset", "any")
    protocols = [one.text for one in at.find_elements("css selector", "#filter-protocol option")]
    assert protocols[0] == "any" and all(re.match(r"5 steps; .*; recipe [0-9a-f]{12}$", one) for one in protocols[1:])


def test_the_best_score_on_the_test_set_is_shown_on_request_alone(at):
    apart = at.find_elements("css selector", ".oracle")
    assert len(apart) == 3 and not any(one.is_displayed() for one in apart)
    body = at.find_element("tag name", "body")
    assert "1.0 ± 0.0" not in body.text
    at.find_element("id", "oracle").click()
    assert all(one.is_displayed() for one in apart) and "chosen on the test set: not a result" in apart[0].text
    assert "1.0 ± 0.0" in apart[0].text and not at.find_elements("css selector", ".one > .wide .oracle")
    at.find_element("id", "oracle").click()
    assert "1.0 ± 0.0" not in body.text


def test_a_line_leads_to_the_settings_of_its_runs(at):
    assert not at.find_element("css selector", f"{FIRST} details").get_property("open")
    link, _ = at.find_elements("css selector", f"{FIRST} a[aria-label='runs of b, 100 labels']")
    link.send_keys("\ue007")
    place = at.find_element("css selector", ":target")
    at.execute_async_script("setTimeout(arguments[0], 100)")
    assert place.is_displayed() and place.find_element("tag name", "h4").text == "b, 100 labels"
    assert "algorithms:\n  b: {}" in place.text and "100-0" in place.text and "split_hash" in place.text
    top = at.execute_script("return arguments[0].getBoundingClientRect().top", place)
    assert -1 <= top < 900, "it is on the screen"


def put(at, tmp_path, name, content):
    """Lay a file beside, and return what is said."""
    from selenium.webdriver.support.wait import WebDriverWait

    (tmp_path / name).write_text(content, encoding="utf-8")
    at.execute_script("document.getElementById('read').textContent = ''")
    at.find_element("id", "file").send_keys(str(tmp_path / name))
    said = at.find_element("id", "read")
    WebDriverWait(at, 10).until(lambda _: said.text)
    return said.text


def test_a_file_is_laid_beside_on_the_page(at, tmp_path):
    rows = [row("theirs", seed, accuracy, net="n", seconds=seed) for seed, accuracy in ((2, 0.25), (1, 0.5))]
    said = put(at, tmp_path, "more.jsonl", "".join(json.dumps(one) + "\n" for one in (*rows, lost("theirs", 3))))
    assert said.startswith("more.jsonl: 2 runs, below all others; left out: line 3 is not the row of a finished run: that run")
    table = at.find_element("css selector", "#chosen table")
    assert [cell.text for cell in table.find_elements("css selector", "tbody tr:first-child > *")] == [
        *("theirs", "d", "n", "20", "2", "75.0", "75.0", "5", "100", "2.0", "cpu")
    ]
    assert "Single runs" in at.find_element("id", "chosen").text and "From more.jsonl" in at.find_element("id", "chosen").text
    table.find_elements("css selector", "th button")[5].click()
    assert [one.text for one in table.find_elements("css selector", "tbody td:nth-child(5)")] == ["1", "2"]
    assert at.find_element("id", "shown").text == "21 of 21 lines shown"
    choose(at, "labels", "20")
    assert at.find_element("id", "shown").text == "3 of 21 lines shown"
    choose(at, "protocol", "of the file more.jsonl, chosen here")
    assert at.find_element("id", "shown").text == "2 of 21 lines shown"


def test_variants_in_a_file_that_is_laid_beside_have_their_names(at, tmp_path):
    axes = ["algorithms.a.weight", "optimizer.lr", "optimizer.none", 3]
    one = row("a", axes=axes)
    one["config"] |= {"algorithms": {"a": {"weight": [1, 2]}}}
    put(at, tmp_path, "a.jsonl", "".join(json.dumps(each) + "\n" for each in (one, row("b"))))
    names = [cell.text for cell in at.find_elements("css selector", "#chosen tbody th")]
    assert names == ["a, weight [1,2], lr 0.1", "b"]


def test_texts_of_a_file_that_is_laid_beside_are_texts(at, tmp_path):
    rows = [row(text, 0, net=text, dataset=text, device=text) for text in (BAD, *HOSTILE)]
    put(at, tmp_path, "bad.jsonl", "".join(json.dumps(one) + "\n" for one in rows))
    at.execute_async_script("setTimeout(arguments[0], 100)")
    kinds = at.execute_script("return [...new Set([...document.querySelectorAll('#chosen *')].map(one => one.localName))].sort()")
    assert kinds == sorted(["bdi", "button", "div", "h2", "p", "section", "table", "tbody", "td", "th", "thead", "tr"])
    cells = at.find_elements("css selector", "#chosen tbody th")
    assert len(cells) == len(rows) and cells[0].get_property("textContent") == BAD
    everything = at.execute_script("return document.getElementById('chosen').textContent")
    assert not re.search("[\u202e\u2067\u0000\u001b]", everything) and "\\u{202e}" in everything
    assert BAD in at.execute_script("return [...document.querySelectorAll('#filter-net option')].map(one => one.textContent)")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no row of a finished run: it is empty"),
        ("{broken", "holds no row of a finished run: line 1 is not JSON"),
        ("[1]\nnull\n3\n", "line 1 is not the row of a finished run: it is no JSON object; line 2 is"),
        ('{"a": 1}', "the file is not the row of a finished run: it lacks algorithm, net, dataset"),
        (json.dumps(row(error_rate=2)), "its error_rate cannot be 2"),
        (json.dumps(row(labels="<b>")), 'its labels cannot be "<b>"'),
        (json.dumps(row(seed="0")), 'its seed cannot be "0"'),
        (json.dumps(row(rung="S0")), "it is of a ladder"),
        ("\n".join("x" * 5), "line 3 is not JSON; and 2 more"),
        (json.dumps(row(), indent=1), "a.jsonl: 1 run, below all others"),
        (json.dumps(row()) + '\n{"half', "1 run, below all others; left out: line 2 is not JSON"),
    ],
)
def test_what_is_said_of_a_file_that_is_laid_beside(at, tmp_path, content, said):
    assert said in put(at, tmp_path, "a.jsonl", content)
    assert ("below all others" in said) == bool(at.find_elements("css selector", "#chosen tbody tr"))


@pytest.mark.parametrize("root", ["data/cifar", "/a/b/", ".", "..", "", "a//b"])
def test_data_are_called_as_in_the_tables(at, tmp_path, root):
    one = row(dataset="folder")
    one["config"]["data_root"] = root
    put(at, tmp_path, "a.jsonl", json.dumps(one))
    assert at.find_element("css selector", "#chosen tbody td").text == data_of(one)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (390, "light"), (1280, "dark")])
def test_the_page_is_right_on_a_screen(at, width, scheme):
    screen(at, width, scheme)
    at.find_element("id", "oracle").click()
    at.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert at.execute_script("return document.documentElement.scrollWidth") <= width and at.execute_script(INSIDE) == []
    texts, contrast = at.execute_script(LEGIBLE)
    assert texts > 300 and contrast >= 4.5
    names = "return [...document.querySelectorAll('select, input')].filter(one => !one.closest('label').innerText.trim())"
    assert at.execute_script(names) == [], "everything that is chosen has a name"


def test_on_a_phone_a_long_name_leaves_room_for_numbers(browser, tmp_path):
    rows = [row("a", seed, axes=["optimizer.a_setting_with_a_long_name"]) for seed in (0, 1)]
    for seed, one in enumerate(rows):
        one["config"] |= {"optimizer": {"a_setting_with_a_long_name": seed}}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "page.html").write_text(site(*read_sources([tmp_path / "a.jsonl"], False)), encoding="utf-8")
    screen(browser, 390)
    browser.get((tmp_path / "page.html").as_uri())
    name = browser.find_element("css selector", f"{FIRST} tbody th")
    assert name.text == "a, a_setting_with_a_long_name 0" and name.size["width"] < 390 / 2


def test_without_a_script_there_are_plain_tables(browser, page):
    screen(browser, 1280)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        assert len(lines(browser)) == 9 and not browser.find_elements("css selector", "th button")
        assert not any(one.is_displayed() for one in browser.find_elements("css selector", "select, #file, .oracle"))
        browser.find_element("id", "oracle").click()
        assert all(one.is_displayed() for one in browser.find_elements("css selector", ".oracle"))
        browser.find_element("css selector", f"{FIRST} summary").click()
        assert browser.find_element("css selector", f"{FIRST} .cell").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_on_paper_there_are_the_tables_and_nothing_to_press(at):
    at.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = at.find_elements("css selector", ".controls, .contents, .oracle, details")
        assert not any(one.is_displayed() for one in hidden) and len(lines(at)) == 9
        wide = "return [...document.querySelectorAll('.wide')].map(one => getComputedStyle(one).overflowX)"
        assert {*at.execute_script(wide)} == {"visible"}, "nothing is cut off that would scroll on a screen"
    finally:
        at.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
