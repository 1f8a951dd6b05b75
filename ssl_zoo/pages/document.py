"""A whole page, which needs no other file and no network, and tells a browser so."""

import base64
import hashlib

import ssl_zoo
from ssl_zoo.pages.markup import Markup, element, joined
from ssl_zoo.pages.style import STYLE

POLICY = (  # a browser fetches nothing, and runs nothing but what a page names by its hash, whatever a name says
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def page(title: str, body: Markup, style: str = "", script: str = "") -> Markup:
    """Return a whole page.

    Args:
        title: Of the window.
        body: All that is shown.
        style: CSS, after that of all pages.
        script: JavaScript of ours, of which no part is anybody else's text. It runs when the body is there.
    """
    allowed = f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" if script else ""
    head = joined(
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY + allowed),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(STYLE + style)),
    )
    foot = element("footer", f"Made by ssl_zoo {ssl_zoo.__version__}. This file holds all that it shows.")
    runs = element("script", Markup(script)) if script else ""
    whole = element("html", element("head", head), element("body", element("main", body), foot, runs), lang="en")
    return Markup(f"<!doctype html>\n{whole}\n")
