"""The methods. A new one is a new file and one line here."""

from ssl_zoo.algorithms import meanteacher, pimodel, supervised, tempens

__all__ = ["meanteacher", "pimodel", "supervised", "tempens"]
