"""The methods. A new one is a new file and one line here."""

from ssl_zoo.algorithms import (
    adamatch,
    finetune,
    fixmatch,
    flexmatch,
    freematch,
    labelspreading,
    meanteacher,
    pimodel,
    probe,
    pseudolabel,
    selftraining,
    softmatch,
    supervised,
    tempens,
    uda,
)

__all__ = [
    "adamatch",
    "finetune",
    "fixmatch",
    "flexmatch",
    "freematch",
    "labelspreading",
    "meanteacher",
    "pimodel",
    "probe",
    "pseudolabel",
    "selftraining",
    "softmatch",
    "supervised",
    "tempens",
    "uda",
]
