"""A table as Markdown, CSV, LaTeX or one HTML page, or as Markdown with what each method is.

Each takes tables, and whether the oracle and the cost of a run are shown, and returns a text.
"""

from ssl_zoo.tables.render.comma_separated import as_csv
from ssl_zoo.tables.render.latex import latex
from ssl_zoo.tables.render.markdown import markdown
from ssl_zoo.tables.render.page import page
from ssl_zoo.tables.render.switches import switches
from ssl_zoo.tables.render.zoo import zoo

FORMATS = {"md": markdown, "csv": as_csv, "tex": latex, "html": page, "ideas": zoo}

__all__ = ["FORMATS", "as_csv", "latex", "markdown", "page", "switches", "zoo"]
