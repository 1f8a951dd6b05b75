"""The methods. A new one is a new file and one line here."""

from ssl_zoo.algorithms import (
    finetune,
    fixmatch,
    labelspreading,
    meanteacher,
    pimodel,
    probe,
    selftraining,
    supervised,
    tempens,
)

__all__ = ["finetune", "fixmatch", "labelspreading", "meanteacher", "pimodel", "probe", "selftraining", "supervised", "tempens"]
