"""The pages in headless Chromium: no wider than the screen, legible, with every image, in the light and in the dark."""

import numpy as np
import pytest

import ssl_zoo
from ssl_zoo.using.report.page import write_report
from tests.browser import CONTRAST, INSIDE, chromium, screen
from tests.using.trained import put, train

NAMES = ("<script>window.ran = 1", "a long name of a class of images", *(f"class {k}" for k in range(10)))
OVERLAPS = """
const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
const box = one => one.getBoundingClientRect();
return [...document.querySelectorAll("figure svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].filter(one => one.textContent);
  return texts.flatMap((one, k) => texts.slice(k + 1).filter(other => !apart(box(one), box(other)))
    .map(other => one.textContent + "|" + other.textContent)) })"""
OUTSIDE = """
return [...document.querySelectorAll("figure svg")].flatMap(svg => { const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(text => { const own = text.getBoundingClientRect();
    return own.width && (own.left < box.left - 1 || own.right > box.right + 1) }).map(text => text.textContent) })"""
SMALLEST = """
return Math.min(...[...document.querySelectorAll("svg text")].map(text => 11 * text.getScreenCTM().a))"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(browser, tmp_path_factory):
    """A page of a run on a dozen classes, and one of a sweep."""
    top = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        for k, name in enumerate(NAMES):
            put(top / "photos/train" / name, 3, 16 * k)
            put(top / "photos/test" / name, 4, 16 * k)
        train(top / "photos", top / "run", steps=12, **{"evaluation.every": 3, "datasets.folder.image_size": 48})
        rng = np.random.default_rng(0)
        data = (rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 4)
        for alg in ("supervised", "meanteacher"):
            for seed in (0, 1):
                own = {"alg": alg, "seed": seed, "labels": "all", "net": "smallnet", "steps": 4, "device": "cpu"}
                settings = ssl_zoo.recipe("digits", **own, **{"evaluation.every": 2})
                ssl_zoo.run(settings, top / "sweep" / f"{alg}-{seed}", data=data, quiet=True)
        return {name: write_report(top / name, top / f"{name}.html", device="cpu").path for name in ("run", "sweep")}


@pytest.mark.parametrize("name", ["run", "sweep"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (390, "light"), (1280, "dark")])
def test_a_page_is_right_on_a_screen(pages, browser, name, width, scheme):
    screen(browser, width, scheme)
    browser.get(pages[name].as_uri())
    ask = browser.execute_script
    ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert ask("return document.documentElement.scrollWidth") <= width and ask(INSIDE) == []
    assert ask(OVERLAPS) == [] and ask(OUTSIDE) == [] and ask(SMALLEST) >= 9.5
    images = ask("return [...document.images].map(one => one.complete && one.naturalWidth)")
    assert all(images) and (len(images) > 24) == (name == "run")
    text, lines = ask(CONTRAST)
    assert text >= 4.5 and lines >= 3
    dark = ask("return getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    assert dark == (scheme == "dark")
    assert ask("return window.ran") is None and browser.get_log("browser") == []


def test_no_script_runs_that_gets_into_a_page_after_all(pages, browser, tmp_path):
    """The second fence: the page's own policy."""
    text = pages["sweep"].read_text(encoding="utf-8")
    (tmp_path / "p.html").write_text(
        text.replace("</main>", "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'></main>")
    )
    browser.get((tmp_path / "p.html").as_uri())
    assert browser.execute_script("return window.ran") is None
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))
