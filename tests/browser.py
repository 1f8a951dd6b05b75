"""Headless Chromium, for tests of pages; where there is none, they are skipped."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def chromium() -> Iterator:
    """A driver; it ends with the block."""
    webdriver = pytest.importorskip("selenium.webdriver", reason='needs pip install "ssl_zoo[browser]"')
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))) as opened:
        yield opened


def screen(browser, width: int, scheme: str = "light") -> None:
    """Let it be so wide, in pixels, and light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})


CONTRAST = """
const light = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
  .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
const paper = light(getComputedStyle(document.body).backgroundColor);
const ratio = one => { const own = light(one); return (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05) };
return [Math.min(...[...document.querySelectorAll("p, dt, dd, small, td:not(.none), th, li, summary, h2, text")].map(one =>
    ratio(getComputedStyle(one)[one.tagName === "text" ? "fill" : "color"]))),
  Math.min(...[...document.querySelectorAll("polyline")].map(one => ratio(getComputedStyle(one).stroke)))]"""
LEGIBLE = """
const parse = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => v / 255)
  .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z };
const behind = one => { for (; one; one = one.parentElement) { const own = parse(getComputedStyle(one).backgroundColor);
  if (own.length < 4 || own[3] === 1) return own } return [255, 255, 255] };
const texts = [...document.body.querySelectorAll("*")].filter(one => one.getClientRects().length &&
  [...one.childNodes].some(part => part.nodeType === 3 && part.textContent.trim()));
const ratios = texts.map(one => { const [a, b] = [parse(getComputedStyle(one).color), behind(one)].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) });
return [texts.length, Math.min(...ratios)]"""  # how many texts are shown, and the least contrast of one to what is behind it
INSIDE = """
const wide = one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
return [...document.querySelectorAll("body *")].filter(one => !one.closest(".wide") && one.getClientRects().length && wide(one))
  .map(one => one.outerHTML.slice(0, 80))"""
