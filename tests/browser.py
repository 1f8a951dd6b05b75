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
