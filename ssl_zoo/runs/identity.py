"""What must be the same for two runs to be one, and what is said where it is not."""

from collections.abc import Mapping
from typing import Any

from ssl_zoo import plugins, provenance
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, Entry
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.model import Model
from ssl_zoo.runs.weights import weights_identity
from ssl_zoo.settings import NO_OTHER_RUN, RunSettings

KINDS = {  # with the likeliest reason first
    "data_hash": "other images",
    "initial": "another net to begin from",
    "weights_hash": "other pretrained weights",
    "split_hash": "another label split",
    "settings": "other settings",
    "plugins": "other plug-in code",
    "code": "other code of the method or net",
    "source": "other code of ssl_zoo",
}
CODE = {"code", "source"}  # what may differ in a run that is done: its row says what made it


def identity_of(settings: RunSettings, plain: Mapping[str, Any], inputs: Inputs, initial: Model | None = None) -> dict[str, str]:
    """Return what must be the same for a run to resume.

    Args:
        settings: Of the run.
        plain: The same as mappings.
        inputs: Its data.
        initial: The trained net that it begins from: its content counts, and not where it is.
    """
    kept = {name: value for name, value in plain.items() if name not in (*NO_OTHER_RUN, "initial")}
    return {
        "settings": provenance.recipe_hash(kept),
        "split_hash": inputs.split.hash,
        "data_hash": fingerprint(inputs.data),
        **({} if initial is None else {"initial": initial.hash}),
        **weights_identity(settings),
        "plugins": plugins_of(settings),
        **code_of(settings),
    }


def code_of(settings: RunSettings) -> dict[str, str]:
    """Return hashes of the code that a run executes: of its method and net, and of what every run goes through."""
    targets = [ALGORITHMS.resolve(settings.alg).target, NETS.resolve(settings.net).target]
    return {"code": provenance.code(targets), "source": provenance.source()}


def other_code(row: Mapping[str, Any], settings: RunSettings) -> str:
    """Return in words with which other code a run was made; "" if with this."""
    return differing(row, {name: value for name, value in code_of(settings).items() if name in row})


def parts_of(settings: RunSettings) -> dict[str, Entry]:
    """Return the registered parts of a run, such as {"algorithm meanteacher": its entry}."""
    steps = {step for view in settings.views.values() for step in view}
    named = {ALGORITHMS: [settings.alg], NETS: [settings.net], DATASETS: [settings.dataset], AUGMENTATIONS: sorted(steps)}
    return {f"{registry.kind} {name}": registry.resolve(name) for registry, names in named.items() for name in names}


def plugins_of(settings: RunSettings) -> str:
    """Return which of the run's parts come from plug-ins, with a hash of their source."""
    return plugins.provenance(parts_of(settings))


def names_differing(then: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Return what two runs that should be one do not agree on, the likeliest first.

    What neither knows is no difference.
    """
    names = sorted(now, key=lambda name: [*KINDS, name].index(name))
    return [name for name in names if (then.get(name) or "") != now[name]]


def differing(then: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """Return in words what two runs that should be one do not agree on; "" if they do.

    What neither knows is no difference.
    """
    return ", ".join(
        f"{KINDS.get(name, f'another {name}')} ({name} {then.get(name) or 'none'}, now {now[name] or 'none'})"
        for name in names_differing(then, now)
    )
