"""A table as Markdown, CSV, LaTeX or one HTML page.

Each takes tables, and whether the oracle and the cost of a run are shown, and returns a text.
"""

from ssl_zoo.tables.render.comma_separated import as_csv
from ssl_zoo.tables.render.latex import latex
from ssl_zoo.tables.render.markdown import markdown
from ssl_zoo.tables.render.page import page

FORMATS = {"md": markdown, "csv": as_csv, "tex": latex, "html": page}

__all__ = ["FORMATS", "as_csv", "latex", "markdown", "page"]
