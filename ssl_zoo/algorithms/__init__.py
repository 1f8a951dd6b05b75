"""The methods. A new one is a new file and one line here."""

from ssl_zoo.algorithms import (
    comatch,
    dash,
    defixmatch,
    finetune,
    fixmatch,
    labelspreading,
    meanteacher,
    pimodel,
    probe,
    selftraining,
    simmatch,
    supervised,
    tempens,
)

__all__ = [
    "comatch",
    "dash",
    "defixmatch",
    "finetune",
    "fixmatch",
    "labelspreading",
    "meanteacher",
    "pimodel",
    "probe",
    "selftraining",
    "simmatch",
    "supervised",
    "tempens",
]
