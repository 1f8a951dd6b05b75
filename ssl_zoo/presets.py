"""Presets: every switch on which papers and codes disagree, set as one of them sets it.

A preset is a file `configs/presets/NAME.yaml`, which lies on top of a data set's recipe, so that a disagreement between
two codes can be made again and explained. It has one entry for each switch below, with its source, and either what it
sets or, where ssl_zoo does one thing only, what that is. Weights stand in it as its source has them; `effective_weight`
converts them.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ssl_zoo import recipes
from ssl_zoo.errors import InputError
from ssl_zoo.registry import NETS, Entry, folded, near_miss

SWITCHES = {
    "space": "what the consistency term compares: probabilities or logits",
    "reduction": "mean or sum over the classes in the squared error",
    "ce_denominator": "what the cross-entropy is divided by: the labelled images or the whole batch",
    "labeled_fraction": "whether the weight is multiplied by the share of images that are labelled",
    "weight": "the weight of the consistency term, as coded",
    "labeled_in_unlabeled": "whether the labelled images are also in the unlabelled stream",
    "stop_gradient": "whether the Pi-model's gradient flows through both of its views",
    "ramp": "how the weight rises, and for how long",
    "decay": "the decay of the teacher's average, and how the average starts",
    "update_order": "whether the teacher moves before or after the optimiser's step",
    "averaged": "what the teacher averages, and where its batch-norm statistics come from",
    "joint_forward": "whether labelled and unlabelled images share a forward pass, and so batch statistics",
    "bn_momentum": "the weight of the newest batch in batch norm's running statistics",
    "transition": "what the residual branch reads where a wide residual net changes its number of channels",
    "memory": "what is kept of past predictions, and how that starts",
    "target": "what a pseudo-label is: hard or soft, how sharp, of which views, aligned to which class shares",
    "gate": "which images count, how much, and what their sum is divided by",
    "mixing": "how images are mixed, and in which shares",
    "perturbation": "how far an image is moved to where predictions differ most, and how that direction is found",
    "strong": "what the strong view is, and which images have one",
    "draws": "whether the random numbers of an augmentation are drawn for each image or for a batch",
    "scored": "which weights are scored: student, teacher, or an average for every method",
    "reported": "which evaluation is reported",
    "budget": "images of a step, and so how many each method sees",
    "label_split": "how the labelled images are chosen, and whether that is recorded",
    "precision": "16-bit or 32-bit arithmetic",
}
FOLDER = recipes.FOLDER / "presets"
PARTS = ("about", "switches", "recipe", recipes.BUDGETS)  # of a preset's file
WEIGHED = {"weight", "reduction", "ce_denominator", "scale_by_labeled_fraction"}  # options of methods whose weight we can convert


def names(folder: Path = FOLDER) -> list[str]:
    """Every preset in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_preset(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What a preset sets, as a recipe with budgets.

    Args:
        name: The preset's.
        folder: Where presets are.

    Raises:
        InputError: No such preset; not exactly one entry for each switch; an entry that has no source, or says neither
            what it sets nor what is ours; or two parts that contradict each other.
    """
    known = names(folder)
    name = {folded(one): one for one in known}.get(folded(name), name)
    if name not in known:
        raise InputError(f"no preset is called '{name}'; {near_miss(name, known)}known: {', '.join(known)}")
    path = folder / f"{name}.yaml"
    preset = recipes.read_mapping(path, "a preset", ", ".join(PARTS))
    if set(preset) != set(PARTS):
        raise InputError(f"{path} has the parts {', '.join(map(str, preset))}; a preset has {', '.join(PARTS)}")
    parts = {part: preset[part] for part in ("recipe", recipes.BUDGETS)}
    entries = _switches(preset["switches"], path)
    parts |= {switch: entries[switch].get("set", {}) for switch in SWITCHES}
    recipe: dict[str, Any] = {}
    by: dict[str, tuple[str, Any]] = {}  # what has been set, by which part and to what
    for part, settings in parts.items():
        if not isinstance(settings, dict):
            raise InputError(f"{path}: {part} must set a mapping of settings, not {settings!r}")
        settings = recipes.as_recipe({recipes.BUDGETS: settings} if part == recipes.BUDGETS else settings, f"{path}, {part}")
        for key, value in _set(settings).items():
            for taken, (other, before) in by.items():
                one_in_the_other = f"{key}.".startswith(f"{taken}.") or f"{taken}.".startswith(f"{key}.")
                if value != before if key == taken else one_in_the_other:
                    raise InputError(f"{path}: {other} sets {taken} to {before!r}, and {part} sets {key} to {value!r}; keep one")
            by[key] = (part, value)
        recipes.put_recipe(recipe, settings)
    return recipe


def unset(name: str, folder: Path, net: Entry, options: Mapping[str, Any], given: Collection[str] = ()) -> list[str]:
    """At most one line, about options that a preset sets alike for all nets of this one's kind, and not for this one.

    Its kind is its family, such as the wide residual nets; where the preset names none of them, all nets that it names.

    Args:
        name: The preset's.
        folder: Where presets are.
        net: Of the run.
        options: Of that net, as they stand. What is not as it is registered was set by the user, and is passed over.
        given: Dotted keys that the user set, which are passed over too.
    """
    nets = read_preset(name, folder).get("nets", {})
    if not nets or net.name in nets:
        return []
    family = [given for other, given in nets.items() if NETS.resolve(other).target is net.target]
    alike = ({(option, json.dumps(value)) for option, value in given.items()} for given in family or nets.values())
    shared = set.intersection(*alike)
    untouched = {option for option, p in net.options.items() if options.get(option) == p.default}
    untouched -= {option for option in untouched if f"nets.{net.name}.{option}" in given}
    odd = [(option, value) for option, value in sorted(shared) if option in untouched and json.loads(value) != options[option]]
    words = " ".join("`nets.{}.{}={}`".format(net.name, option, value.strip('"')) for option, value in odd)
    others = "the nets of that family" if family else "all others"
    return [f"the preset {name} does not know the net {net.name}; to give it what {others} get: {words}"] if odd else []


def _switches(given: Any, path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a preset's switches, checked."""
    if not isinstance(given, dict):
        raise InputError(f"{path}: switches must be a mapping from switches to entries, not {given!r}")
    for switch in given:
        if switch not in SWITCHES:
            near = near_miss(str(switch), list(SWITCHES))
            raise InputError(f"{path}: there is no switch '{switch}'; {near}switches: {', '.join(SWITCHES)}")
    for switch, what in SWITCHES.items():
        entry = given.get(switch)
        if entry is None:
            raise InputError(f"{path} leaves out the switch '{switch}' ({what}); set it, or say what is ours")
        if not isinstance(entry, dict) or not entry.get("source"):
            raise InputError(f"{path}: the switch '{switch}' has no source; say where it is in the paper or code")
        if not set(entry) <= {"source", "set", "ours"} or not (entry.get("set") or entry.get("ours")):
            has = ", ".join(map(str, entry))
            raise InputError(f"{path}: the switch '{switch}' has {has}; it wants source, and set or ours, and none of them empty")
    return given


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe sets, with dotted keys; a view is set as a whole."""
    views = settings.get("views")
    if not isinstance(views, Mapping):
        return recipes.flatten(settings)
    rest = {name: value for name, value in settings.items() if name != "views"}
    return recipes.flatten(rest) | {f"views.{name}": view for name, view in views.items()}


def effective_weight(
    options: Mapping[str, Any], *, classes: int, batch_labeled: int, batch_unlabeled: int, labeled_fraction: float
) -> float | None:
    """A consistency weight in the common unit, in which those of all sources can be compared.

    The unit: of the squared error of probabilities, mean over classes and images, relative to the mean cross-entropy of
    the labelled images. So 100 L/N, with a cross-entropy that is divided by the whole batch, is 100 where a batch has B
    = (B + U) L/N labelled images (Laine & Aila 2017, arXiv:1610.02242).

    Args:
        options: Of the method.
        classes: K.
        batch_labeled: B.
        batch_unlabeled: U.
        labeled_fraction: L/N.

    Returns:
        The weight; None where what is compared is not probabilities: no number is right at every confidence.
    """
    if options.get("space", "probabilities") != "probabilities":
        return None
    weight = options["weight"] * (labeled_fraction if options["scale_by_labeled_fraction"] else 1)
    if options["reduction"] == "sum":
        weight *= classes
    return weight * (batch_labeled + batch_unlabeled) / batch_labeled if options["ce_denominator"] == "batch" else weight


def weight_in_words(
    options: Mapping[str, Any], *, classes: int, batch_labeled: int, batch_unlabeled: int, labeled_fraction: float
) -> str | None:
    """A line with a method's consistency weight as coded and in the common unit.

    None for a method without these options.

    Args: as of `effective_weight`.
    """
    if not set(options) >= WEIGHED:
        return None
    weight = effective_weight(
        options,
        classes=classes,
        batch_labeled=batch_labeled,
        batch_unlabeled=batch_unlabeled,
        labeled_fraction=labeled_fraction,
    )
    coded = f"consistency weight: {options['weight']:.10g} as coded"
    if weight is not None:
        factors = [f"x {labeled_fraction:.3g} (labelled share of the images)"] if options["scale_by_labeled_fraction"] else []
        factors += [f"x {classes} (sum over classes)"] if options["reduction"] == "sum" else []
        size = f"{batch_labeled + batch_unlabeled}/{batch_labeled}"
        factors += [f"x {size} (images of a step to labelled ones)"] if options["ce_denominator"] == "batch" else []
        unit = "squared error of probabilities, mean over classes; cross-entropy, labelled mean"
        return f"{' '.join([coded, *factors])}: {float(f'{weight:.3g}'):g} in the common unit ({unit})"
    near = {  # p = 1/K: logits that differ by d are probabilities that differ by (d - mean d) / K, and KL is K/2 of the squares
        "logits": ("logits", f"K^2 = {classes**2}", classes**2),
        "kl": ("the KL divergence", f"K^2 / 2 = {classes**2 / 2:g}", classes**2 / 2),
    }
    if options["space"] not in near:
        return None
    name, factor, value = near[options["space"]]
    like = f"{value * options['weight']:.10g} on probabilities (x {factor}), near uniform predictions only"
    return f"{coded}, on {name}: like {like}"
