"""Rungs change what they say and nothing else."""

import copy
import math

import pytest

from ssl_zoo import config, ladders, presets, recipes
from ssl_zoo.errors import InputError

MT = "algorithms.meanteacher"

CHANGED = {  # what differs from the rung above, on either data set
    "S0": {f"{MT}.weight"},
    "A1": {f"{MT}.space"},
    "A2": {f"{MT}.weight"},
    "A3": {f"{MT}.ramp_length"},
    "A4": {"batch.labeled", "batch.unlabeled"},
    "A5": {"optimizer.lr", "schedule.name"},
    "A6": {"optimizer.weight_decay"},
    "A7": {"views.weak"},
    "A9": {f"{MT}.joint_forward", f"{MT}.teacher_bn"},
    "A10": {"batch.labeled_in_unlabeled", *(f"{MT}.{n}" for n in ("weight", "ramp", "ramp_length", "consistency_on_labeled"))},
    "A0-aspect": {"views.weak"},
    "A0-initial": {f"{MT}.count_initial"},
    "A0-smooth": {"schedule.milestones", "schedule.factors", "schedule.warmup"},
    "A10-logits-1": {f"{MT}.space", f"{MT}.weight"},
    "A10-logits-50": {f"{MT}.space"},
    "A10-ramp": {f"{MT}.ramp", f"{MT}.ramp_length"},
    "A10-batch": {"batch.labeled", "batch.unlabeled"},
    "A10-lr": {"optimizer.lr", "schedule.name"},
    "A10-decay": {"optimizer.weight_decay"},
    "A10-crop": {"views.weak"},
    "A10-joint": {f"{MT}.joint_forward", f"{MT}.teacher_bn"},
    "A10-ema": {f"{MT}.decay"},
    "A2-10": {f"{MT}.weight"},
    "A2-logits-10": {f"{MT}.space", f"{MT}.weight"},
    "A2-kl-3": {f"{MT}.space", f"{MT}.weight"},
}


def settings_of(rung):
    return config.plain(config.resolve(copy.deepcopy(rung.recipe)))


def differing(a, b):
    a, b = (recipes.flatten(settings_of(rung)) for rung in (a, b))
    found = {key for key in {*a, *b} if a.get(key) != b.get(key)}
    return {"views.weak" if key.startswith("views.weak") else key for key in found}


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_a_rung_changes_what_it_says_and_nothing_else(dataset):
    rungs = ladders.read_ladder(dataset)
    for name, keys in CHANGED.items():
        if name in rungs:
            assert differing(rungs[name], rungs[rungs[name].above]) == keys, name
    for name, option in (("A0-activated", "transition"), ("A0-momentum", "bn_momentum"), ("A10-activated", "transition")):
        net = settings_of(rungs[name])["net"]
        assert differing(rungs[name], rungs[rungs[name].above]) == {f"nets.{net}.{option}"}, name
    assert {rung.above for name, rung in rungs.items() if name.startswith("A0-")} == {"A0"}
    assert {rung.above for name, rung in rungs.items() if name.startswith("A10-")} == {"A10"}
    assert {rung.above for name, rung in rungs.items() if name.startswith("A2-")} == {"A2"}
    assert [rungs[f"A{k}"].above for k in range(1, 12)] == [f"A{k}" for k in range(11)] and rungs["A0"].above is None
    assert rungs["S0"].above == "A0"
    for name, rung in rungs.items():
        s = settings_of(rung)
        assert s["alg"] == "meanteacher" and s["evaluation"]["mechanism"] > 0 and rung.change, name


VALUES = {  # of rungs, for both data sets unless said otherwise
    "S0": {f"{MT}.weight": 0, f"{MT}.space": "logits"},
    "A0": {
        f"{MT}.weight": 1,
        f"{MT}.space": "logits",
        f"{MT}.ramp": "sigmoid",
        f"{MT}.ramp_length": 0.5,
        f"{MT}.count_initial": False,
        "optimizer.lr": 0.1,
        "views.weak.resized_crop.ratio": [1.0, 1.0],
    },
    "A0-aspect": {"views.weak.resized_crop.ratio": [0.75, 1.3333], "views.weak.resized_crop.scale": [0.75, 1.0]},
    "A1": {f"{MT}.weight": 1, f"{MT}.space": "probabilities"},
    "A2": {f"{MT}.weight": 100, f"{MT}.space": "probabilities", "batch.labeled": 16, "batch.unlabeled": 112},
    "A3": {f"{MT}.ramp_length": 0.025},
    "A4": {"batch.labeled": 64, "batch.unlabeled": 64, "optimizer.lr": 0.1, "schedule.name": "steps"},
    "A5": {"optimizer.lr": 0.03, "schedule.name": "cosine7_16", "schedule.warmup": 0, "optimizer.weight_decay": 1e-4},
    "A0-initial": {f"{MT}.count_initial": True},
    "A0-smooth": {"schedule.milestones": [0.5, 0.75], "schedule.factors": [], "schedule.warmup": 0.015, "optimizer.lr": 0.1},
    "A6": {"optimizer.weight_decay": 5e-4},
    "A9": {f"{MT}.joint_forward": False, f"{MT}.teacher_bn": "copy", f"{MT}.weight": 100, "batch.labeled_in_unlabeled": False},
    "A10": {f"{MT}.weight": 50, f"{MT}.ramp": "linear", f"{MT}.ramp_length": 0.4, "batch.labeled_in_unlabeled": True},
    "A10-labels": {f"{MT}.weight": 0},
    "A10-logits-1": {f"{MT}.weight": 1, f"{MT}.space": "logits"},
    "A10-logits-50": {f"{MT}.weight": 50, f"{MT}.space": "logits"},
    "A10-ramp": {f"{MT}.ramp": "sigmoid", f"{MT}.ramp_length": 0.5},
    "A10-short": {f"{MT}.ramp": "sigmoid", f"{MT}.ramp_length": 0.025},
    "A10-ramp-10": {f"{MT}.ramp": "sigmoid", f"{MT}.ramp_length": 0.1},
    "A10-batch": {"batch.labeled": 16, "batch.unlabeled": 112},
    "A10-lr": {"optimizer.lr": 0.1, "schedule.name": "steps", "schedule.factors": [0.001, 0.334, 0.667, 1, 0.1, 0.01]},
    "A10-decay": {"optimizer.weight_decay": 1e-4},
    "A10-joint": {f"{MT}.joint_forward": True, f"{MT}.teacher_bn": "own"},
    "A10-streams": {f"{MT}.consistency_on_labeled": True, "batch.labeled_in_unlabeled": False},
    "A10-weight": {f"{MT}.weight": 100},
    "A2-10": {f"{MT}.weight": 10, f"{MT}.space": "probabilities"},
    "A2-30": {f"{MT}.weight": 30, f"{MT}.space": "probabilities"},
    "A2-300": {f"{MT}.weight": 300, f"{MT}.space": "probabilities"},
    "A2-1000": {f"{MT}.weight": 1000, f"{MT}.space": "probabilities"},
    "A2-3000": {f"{MT}.weight": 3000, f"{MT}.space": "probabilities"},
    "A2-logits-0.01": {f"{MT}.weight": 0.01, f"{MT}.space": "logits"},
    "A2-logits-0.1": {f"{MT}.weight": 0.1, f"{MT}.space": "logits"},
    "A2-logits-10": {f"{MT}.weight": 10, f"{MT}.space": "logits"},
    "A2-logits-30": {f"{MT}.weight": 30, f"{MT}.space": "logits"},
    "A2-logits-100": {f"{MT}.weight": 100, f"{MT}.space": "logits"},
    "A2-logits-300": {f"{MT}.weight": 300, f"{MT}.space": "logits"},
    "A2-kl-1": {f"{MT}.weight": 1, f"{MT}.space": "kl"},
    "A2-kl-3": {f"{MT}.weight": 3, f"{MT}.space": "kl"},
    "A2-kl-10": {f"{MT}.weight": 10, f"{MT}.space": "kl"},
    "A2-kl-30": {f"{MT}.weight": 30, f"{MT}.space": "kl"},
    "A2-kl-100": {f"{MT}.weight": 100, f"{MT}.space": "kl"},
}

DIGITS = {
    "A0": {
        "nets.wrn16_2.drop_rate": 0.1,
        "nets.wrn16_2.bn_momentum": 0.1,
        "nets.wrn16_2.transition": "raw",
        "steps": 600,
        f"{MT}.decay": 0.97,
    },
    "A0-activated": {"nets.wrn16_2.transition": "activated"},
    "A0-momentum": {"nets.wrn16_2.bn_momentum": 0.001},
    "A10-activated": {"nets.wrn16_2.transition": "activated"},
    "A8": {"nets.wrn16_2.drop_rate": 0.0, "nets.wrn16_2.bn_eps": 1e-3},
    "A11": {"steps": 1920},
    "A10-dropout": {"nets.wrn16_2.drop_rate": 0.1},
    "A10-ema": {f"{MT}.decay": 0.999},
}

CIFAR = {
    "A0": {
        "nets.wrn28_3.drop_rate": 0.1,
        "nets.wrn28_3.bn_momentum": 0.001,
        "nets.wrn28_3.transition": "raw",
        f"{MT}.decay": 0.999,
    },
    "A0-activated": {"nets.wrn28_3.transition": "activated"},
    "A0-momentum": {"nets.wrn28_3.bn_momentum": 0.1},
    "A10": {"nets.wrn28_2.bn_momentum": 0.001, "nets.wrn28_2.transition": "raw"},
    "A10-activated": {"nets.wrn28_2.transition": "activated"},
    "A8": {"net": "wrn28_2", "nets.wrn28_2.drop_rate": 0.0, "nets.wrn28_2.bn_eps": 1e-3},
    "A11": {"steps": 262_144},
    "A12": {"steps": 1_048_576},
    "A10-dropout": {"nets.wrn28_2.drop_rate": 0.1},
    "A2-1": {f"{MT}.weight": 1},
    "A2-50": {f"{MT}.weight": 50},
}


@pytest.mark.parametrize(("dataset", "more"), [("digits", DIGITS), ("cifar10", CIFAR)])
def test_the_values_of_a_rung(dataset, more):
    rungs = ladders.read_ladder(dataset)
    assert {*VALUES, *more} | {"A7", "A10-crop"} == {*rungs}
    for values in (VALUES, more):
        for name, wanted in values.items():
            found = recipes.flatten(settings_of(rungs[name]))
            assert {key: found[key] for key in wanted} == wanted, name


def test_class_folders_have_the_tutorial_in_small():
    """Two rungs differ as on CIFAR-10, and from those there by what the file says."""
    full, small = ladders.read_ladder("cifar10"), ladders.read_ladder("cifar10-folder")
    assert list(small) == ["S0", "A0", "A1", "A2"]
    for name, rung in small.items():
        assert (rung.above, rung.change, rung.sets) == (full[name].above, full[name].change, full[name].sets)
        wanted = {"dataset", "net", "steps", f"{MT}.decay"}
        changed = {k for k in differing(full[name], rung) if k.split(".")[0] not in ("evaluation", "nets")}
        assert {k for k in changed if not k.startswith("datasets.")} == wanted
        a, b = (next(iter(settings_of(r)["nets"].values())) for r in (full[name], rung))
        assert a == b


def test_the_tutorial_is_its_preset_but_for_when_it_is_scored():
    preset = presets.read_preset("tutorial", presets.FOLDER)
    given = recipes.read_recipes(["cifar10"], recipes.FOLDER, "full", [("tutorial", preset)])
    theirs, ours = (
        recipes.flatten(part) for part in (config.plain(config.resolve(given)), settings_of(ladders.read_ladder("cifar10")["A0"]))
    )
    differ = {key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key)}
    assert {key for key in differ if not key.startswith(("evaluation.", "views.strong."))} == set(), (
        "no method here has that view"
    )


def test_the_ladders_of_small_runs_are_in_32_bits_too():
    """So that one machine's table is another's, whichever precision is the faster there."""
    for dataset in ("digits", "cifar10", "cifar10-folder"):
        assert {rung.recipe["precision"] for rung in ladders.read_ladder(dataset).values()} == {"fp32"}


def test_the_full_ladder_is_that_of_the_design():
    rungs = ladders.read_ladder("cifar10")
    assert [f"A{k}" for k in range(13)] == [name for name in rungs if name[0] == "A" and "-" not in name]
    a0, a10 = settings_of(rungs["A0"]), settings_of(rungs["A10"])
    assert (a0["net"], a0["steps"], a0["nets"]["wrn28_3"]["drop_rate"]) == ("wrn28_3", 82_000, 0.1)
    assert (a0["optimizer"]["lr"], a0["optimizer"]["weight_decay"], a0["optimizer"]["decay_all"]) == (0.1, 1e-4, False)
    changes = [math.ceil(82_000 * milestone) for milestone in a0["schedule"]["milestones"]]
    assert changes == [410 * epoch + 1 for epoch in (1, 2, 3, 99, 149)], "one step late: tests/test_tutorial.py"
    assert [0.1 * factor for factor in a0["schedule"]["factors"]] == pytest.approx([1e-4, 0.0334, 0.0667, 0.1, 0.01, 0.001])
    mt = a0["algorithms"]["meanteacher"]
    assert (mt["space"], mt["weight"], mt["ramp_length"], mt["decay"], mt["teacher_bn"]) == ("logits", 1, 0.5, 0.999, "own")
    assert (a10["net"], a10["batch"]["unlabeled"], a10["optimizer"]["weight_decay"]) == ("wrn28_2", 64, 5e-4)
    assert settings_of(rungs["A12"])["steps"] == 1_048_576


def test_a_share_of_the_steps():
    recipe = ladders.read_ladder("cifar10")["A3"].recipe
    made = ladders.shortened(recipe, 0.25)
    assert (made["steps"], made["evaluation"]["every"], made["evaluation"]["mechanism"]) == (20_500, 512, 125)
    assert made["algorithms"] == recipe["algorithms"] and made["schedule"] == recipe["schedule"]
    assert recipe["steps"] == 82_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x: {}", "has no ladder for 'digits'; it has x"),
        ("digits: {base: {}}", "digits must have `base` and `rungs`"),
        ("digits: {base: {}, rungs: {A: {from: B, change: c}, B: {from: A, change: c}}}", "digits.A comes from 'B', which is no"),
        ("digits: {base: {}, rungs: {A: {from: Z, change: c}}}", "digits.A comes from 'Z', which is no rung"),
        ("digits: {base: {}, rungs: {A: {sets: {}, change: c}}}", "digits.A must have `change`, and may have"),
        ("digits: {base: {}, rungs: {A: {set: {}}}}", "digits.A must have `change`, and may have"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_file_that_is_no_ladder(text, says, tmp_path):
    path = tmp_path / "ladder.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"ladder\.yaml") as error:
        ladders.read_ladder("digits", path)
    assert says in str(error.value)


def test_a_recipe_that_measures_nothing_stays_so_when_it_is_shortened():
    assert ladders.shortened({"steps": 10, "evaluation": {"every": 4, "mechanism": 0}}, 0.1)["evaluation"] == {
        "every": 1,
        "mechanism": 0,
    }


def test_a_recipe_may_leave_out_all_but_its_steps():
    assert ladders.shortened({"steps": 10, "net": "n"}, 0.5) == {"steps": 5, "net": "n"}
    with pytest.raises(InputError, match="does not say how many `steps`"):
        ladders.shortened({"net": "n"}, 1)
