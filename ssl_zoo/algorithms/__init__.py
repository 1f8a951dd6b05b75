"""The methods. A new one is a new file and one line here."""

from ssl_zoo.algorithms import (
    finetune,
    fixmatch,
    ict,
    labelspreading,
    meanteacher,
    mixmatch,
    pimodel,
    probe,
    remixmatch,
    selftraining,
    supervised,
    tempens,
    vat,
)

__all__ = [
    "finetune",
    "fixmatch",
    "ict",
    "labelspreading",
    "meanteacher",
    "mixmatch",
    "pimodel",
    "probe",
    "remixmatch",
    "selftraining",
    "supervised",
    "tempens",
    "vat",
]
