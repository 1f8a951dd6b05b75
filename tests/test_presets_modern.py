"""Presets of the modern methods' protocols: complete, tied to the published tables, and with each source's own values."""

import copy
import functools
import typing
from pathlib import Path

import pytest
import torch
import yaml

from ssl_zoo import Facts, config, presets, recipes
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.settings import OWN_BATCH
from tests.conftest import TinyNet

CONFIGS = Path(__file__).parent.parent / "configs"
FOLDER = CONFIGS / "presets"
OLD = {"pimodel", "tempens", "meanteacher"}  # what every preset has
HAS = {
    "oliver": {"pseudolabel", "vat"},
    "mixmatch": {"pseudolabel", "vat", "mixmatch"},
    "fixmatch": {"pseudolabel", "vat", "mixmatch", "remixmatch", "uda", "fixmatch"},
}
HAS["torchssl"] = HAS["fixmatch"] | {"flexmatch", "freematch", "softmatch"}
HAS["usb"] = HAS["torchssl"] | {"adamatch", "comatch", "dash", "simmatch"}
PAIRS = [(name, alg) for name, algs in HAS.items() for alg in sorted(algs)]
PUBLISHED = {  # what stands in the source of an entry
    "oliver": "arXiv 1804.09170, Table 1",
    "mixmatch": "arXiv 1905.02249, Table 5",
    "fixmatch": "arXiv 2001.07685, Table 2",
    "torchssl": "arXiv 2110.08263, Table 8",
    "usb": "arXiv 2208.07204, results/classic_cv.csv",
}


@functools.cache
def preset(name):
    return presets.read_preset(name, FOLDER)


@functools.cache
def merged(name, *names, budget=recipes.SHORT):
    """A preset on top of recipes: what is resolved from it has one method alone."""
    return recipes.read_recipes(names or ["cifar10"], CONFIGS, budget, [(name, copy.deepcopy(preset(name)))])


def options(name, alg, *names, **given):
    return {key: value for key, value in merged(name, *names, **given)["algorithms"][alg].items() if key != OWN_BATCH}


def test_which_methods_a_preset_has():
    for name in presets.names(FOLDER):
        assert set(preset(name)["algorithms"]) - OLD == HAS.get(name, set()), name


@pytest.mark.parametrize("name", HAS)
def test_the_table_of_the_docs_names_them(name):
    lines = (CONFIGS.parent / "docs" / "settings.md").read_text().splitlines()
    rows = {line.split("|")[1].strip(" `"): line for line in lines if line.startswith("| `")}
    said = {alg for alg in HAS["usb"] if f"`{alg}`" in rows[name].split("|")[3]}
    for other in HAS:
        said |= HAS[other] if f"as `{other}`" in rows[name] else set()
    assert said == HAS[name]


@pytest.mark.parametrize("name", HAS)
def test_a_preset_has_every_method_of_its_source_with_a_published_number(name):
    entries = yaml.safe_load((CONFIGS.parent / "ssl_zoo" / "tables" / "published.yaml").read_text())
    found = {entry["algorithm"].removesuffix("_ra") for entry in entries if PUBLISHED[name] in str(entry.get("source"))}
    others = {"supervised", "fullysupervised", "fixmatch_cta", "vat_entmin", "crmatch"}  # of no preset, or under another name
    assert found - others <= HAS[name] | OLD and len(found) >= 5


@pytest.mark.parametrize(("name", "alg"), PAIRS)
def test_it_resolves_for_every_method_that_it_has(name, alg):
    found = config.resolve({**merged(name), "alg": alg})
    assert found.options == options(name, alg) and found.batch.labeled == (50 if name == "oliver" else 64)
    older = alg in {"pseudolabel", "vat", "mixmatch", "remixmatch"}
    assert found.unlabeled == (50 if name == "oliver" else 64 if older else 448)


@pytest.mark.parametrize("name", HAS)
@pytest.mark.parametrize("recipe", ["stl10", "digits"])
def test_it_is_the_same_on_other_data(name, recipe):
    there = merged(name, recipe, budget="full")["algorithms"]
    assert all(there[alg] == merged(name)["algorithms"][alg] for alg in HAS[name])


@pytest.mark.parametrize(("name", "alg"), PAIRS)
def test_it_sets_every_option_to_a_value_that_the_method_takes(name, alg):
    given = preset(name)["algorithms"][alg]
    assert set(given) - {OWN_BATCH} == set(ALGORITHMS.resolve(alg).options)
    some = torch.arange(4)
    facts = Facts(4, 20, some, some, torch.arange(20))
    assert ALGORITHMS.create(alg, net=TinyNet(), facts=facts, **options(name, alg)).weights


def other_value(hint, value):
    """Another value of an option than this one, and of the same type."""
    if typing.get_origin(hint) is typing.Literal:
        return next(choice for choice in typing.get_args(hint) if choice != value)
    if value is None:
        return 0.5
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) and hint is int else 0.875 if value <= 1 else 1.5 * value


@pytest.mark.parametrize("name", HAS)
def test_it_does_not_depend_on_what_is_below(name, tmp_path):
    """On top of a recipe, and its full budget, in which every option is otherwise."""
    below = {}
    for alg in HAS[name]:
        here, hints = options(name, alg), typing.get_type_hints(ALGORITHMS.resolve(alg).target.__init__)
        below[alg] = {option: other_value(hints[option], value) for option, value in here.items()}
        assert all(below[alg][option] != value for option, value in here.items())
        if OWN_BATCH in preset(name)["algorithms"][alg]:
            below[alg][OWN_BATCH] = {"unlabeled": 3}
    other = {"algorithms": below, "views": {"strong": {"noise": {"std": 0.5}}}, "batch": {"unlabeled": 5}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**other, "budgets": {"full": other}}))
    on, over = merged(name), merged(name, "cifar10", str(tmp_path / "other.yaml"), budget="full")
    assert on["batch"] == over["batch"] and all(on["algorithms"][alg] == over["algorithms"][alg] for alg in HAS[name])
    if name in ("fixmatch", "torchssl", "usb"):
        assert on["views"]["strong"] == over["views"]["strong"]


VALUES = {  # where a source has other values than a method's paper, or than another source
    ("torchssl", "mixmatch"): {"weight": 100, "ramp_length": 0.4, "alpha": 0.5, "share_per": "batch", "passes": "interleaved"},
    ("mixmatch", "mixmatch"): {"weight": 75, "ramp_length": 1 / 64, "alpha": 0.75, "share_per": "row", "passes": "interleaved"},
    ("fixmatch", "mixmatch"): {"weight": 100, "ramp_length": 1 / 64, "alpha": 0.5, "share_per": "row", "passes": "interleaved"},
    ("usb", "mixmatch"): {"weight": 100, "ramp_length": 0.4, "alpha": 0.5, "share_per": "batch", "passes": "each"},
    ("torchssl", "remixmatch"): {"anchors": 2, "ramp_length": 1 / 64, "share_per": "batch", "passes": "interleaved"},
    ("fixmatch", "remixmatch"): {"anchors": 8, "ramp_length": 1 / 64, "share_per": "row", "passes": "interleaved"},
    ("usb", "remixmatch"): {"anchors": 2, "ramp_length": 1 / 64, "share_per": "batch", "passes": "each"},
    ("oliver", "vat"): {"weight": 0.3, "entropy_weight": 0, "ramp": "sigmoid", "divergence_from": "perturbed"},
    ("mixmatch", "vat"): {"weight": 0.3, "entropy_weight": 0.06, "ramp": "linear", "divergence_from": "perturbed"},
    ("fixmatch", "vat"): {"weight": 0.3, "entropy_weight": 0.06, "ramp": "linear", "divergence_from": "perturbed"},
    ("torchssl", "vat"): {"weight": 0.3, "entropy_weight": 0.06, "ramp": "linear", "divergence_from": "clean"},
    ("usb", "vat"): {"weight": 1, "entropy_weight": 0.06, "ramp": "linear", "divergence_from": "clean"},
    ("torchssl", "uda"): {"threshold": 0.8, "temperature": 0.4, "tsa_over": "batch"},
    ("fixmatch", "uda"): {"threshold": 0.95, "temperature": 1, "tsa_over": "kept"},
    ("usb", "uda"): {"threshold": 0.8, "temperature": 1, "tsa_over": "batch"},
    ("torchssl", "freematch"): {"fairness_weight": 0.01, "fairness": "as_printed", "quantile": None},
    ("usb", "freematch"): {"fairness_weight": 0.001, "fairness": "as_printed", "quantile": None},
    ("torchssl", "softmatch"): {"align_to": "labeled", "gaussian_of": "raw", "label_of": "raw"},
    ("usb", "softmatch"): {"align_to": "uniform", "gaussian_of": "aligned", "label_of": "raw"},
    ("usb", "adamatch"): {"threshold": 0.95, "ramp": "constant", "interpolate": False, "unlabeled_shares": "running"},
    ("usb", "dash"): {"loss_of": "weak", "gamma": 1.27, "stages": 102, "over": "batch"},
    ("usb", "comatch"): {"bank": 2560, "temperature": 0.2, "embedding": 64, "window": 32},
    ("usb", "simmatch"): {"temperature": 0.1, "embedding": 128, "window": 32, "bank_momentum": 0.7},
}


@pytest.mark.parametrize(("name", "alg"), VALUES)
def test_values_on_which_sources_disagree(name, alg):
    found = options(name, alg)
    assert {option: found[option] for option in VALUES[name, alg]} == VALUES[name, alg]


@pytest.mark.parametrize(
    ("name", "operations", "side"), [("fixmatch", 2, (0.5, 0.5)), ("torchssl", 3, (0.0, 0.5)), ("usb", 3, (0.0, 0.5))]
)
def test_the_strong_view(name, operations, side):
    strong = config.resolve({**merged(name), "alg": "fixmatch"}).views["strong"]
    assert strong["randaugment"]["operations"] == operations and tuple(strong["cutout"]["side"]) == side
    order = list(strong)
    assert (order.index("randaugment") < order.index("flip")) == (name == "torchssl"), "where in the chain it stands"


@pytest.mark.parametrize("name", HAS)
def test_a_perturbation_is_that_of_all_codes(name):
    found = options(name, "vat")
    assert (found["xi"], found["iterations"], found["epsilon"]) == (1e-6, 1, 6)
