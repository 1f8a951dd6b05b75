"""Other toolkits beside ours, in one run: their Mean Teacher and FixMatch, by their public interface."""

from .measured import METHODS, TOOLKITS, peers_of
from .tables import lines_of

__all__ = ["METHODS", "TOOLKITS", "lines_of", "peers_of"]
