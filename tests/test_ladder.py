"""Rungs change what they say and nothing else; gains are of pairs; a small ladder is climbed, gone on with and shown again."""

import copy
import json
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import ladder, run
from ssl_zoo import config, presets
from ssl_zoo.errors import InputError

MT = "algorithms.meanteacher"
CHANGED = {  # what differs from the rung above, on either data set
    "S0": {f"{MT}.weight"},
    "A1": {f"{MT}.space"},
    "A2": {f"{MT}.weight"},
    "A3": {f"{MT}.ramp_length"},
    "A4": {"batch.labeled", "batch.unlabeled"},
    "A5": {"optimizer.lr", "schedule.name", "schedule.warmup"},
    "A6": {"optimizer.weight_decay"},
    "A7": {"views.weak"},
    "A9": {f"{MT}.joint_forward", f"{MT}.teacher_bn"},
    "A10": {"batch.labeled_in_unlabeled", *(f"{MT}.{n}" for n in ("weight", "ramp", "ramp_length", "consistency_on_labeled"))},
    "A10-logits-1": {f"{MT}.space", f"{MT}.weight"},
    "A10-logits-50": {f"{MT}.space"},
    "A10-ramp": {f"{MT}.ramp", f"{MT}.ramp_length"},
    "A10-batch": {"batch.labeled", "batch.unlabeled"},
    "A10-lr": {"optimizer.lr", "schedule.name", "schedule.warmup"},
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
    a, b = (config.flatten(settings_of(rung)) for rung in (a, b))
    found = {key for key in {*a, *b} if a.get(key) != b.get(key)}
    return {"views.weak" if key.startswith("views.weak") else key for key in found}


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_a_rung_changes_what_it_says_and_nothing_else(dataset):
    rungs = ladder.read_ladder(dataset)
    for name, keys in CHANGED.items():
        if name in rungs:
            assert differing(rungs[name], rungs[rungs[name].above]) == keys, name
    assert {rung.above for name, rung in rungs.items() if name.startswith("A10-")} == {"A10"}
    assert {rung.above for name, rung in rungs.items() if name.startswith("A2-")} == {"A2"}
    assert [rungs[f"A{k}"].above for k in range(1, 12)] == [f"A{k}" for k in range(11)] and rungs["A0"].above is None
    assert rungs["S0"].above == "A0"
    for name, rung in rungs.items():
        s = settings_of(rung)
        assert s["alg"] == "meanteacher" and s["evaluation"]["mechanism"] > 0 and rung.change, name


VALUES = {  # of rungs, for both data sets unless said otherwise
    "S0": {f"{MT}.weight": 0, f"{MT}.space": "logits"},
    "A0": {f"{MT}.weight": 1, f"{MT}.space": "logits", f"{MT}.ramp": "sigmoid", f"{MT}.ramp_length": 0.5, "optimizer.lr": 0.1},
    "A1": {f"{MT}.weight": 1, f"{MT}.space": "probabilities"},
    "A2": {f"{MT}.weight": 100, f"{MT}.space": "probabilities", "batch.labeled": 16, "batch.unlabeled": 112},
    "A3": {f"{MT}.ramp_length": 0.025},
    "A4": {"batch.labeled": 64, "batch.unlabeled": 64, "optimizer.lr": 0.1, "schedule.name": "steps"},
    "A5": {"optimizer.lr": 0.03, "schedule.name": "cosine7_16", "schedule.warmup": 0, "optimizer.weight_decay": 1e-4},
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
    "A10-lr": {"optimizer.lr": 0.1, "schedule.name": "steps", "schedule.warmup": 0.015},
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
    "A0": {"nets.wrn16_2.drop_rate": 0.1, "steps": 600, f"{MT}.decay": 0.97},
    "A8": {"nets.wrn16_2.drop_rate": 0.0, "nets.wrn16_2.bn_eps": 1e-3},
    "A11": {"steps": 1920},
    "A10-dropout": {"nets.wrn16_2.drop_rate": 0.1},
    "A10-ema": {f"{MT}.decay": 0.999},
}
CIFAR = {
    "A0": {"nets.wrn28_3.drop_rate": 0.1, f"{MT}.decay": 0.999},
    "A8": {"net": "wrn28_2", "nets.wrn28_2.drop_rate": 0.0, "nets.wrn28_2.bn_eps": 1e-3},
    "A11": {"steps": 262_144},
    "A12": {"steps": 1_048_576},
    "A10-dropout": {"nets.wrn28_2.drop_rate": 0.1},
    "A2-1": {f"{MT}.weight": 1},
    "A2-50": {f"{MT}.weight": 50},
}


@pytest.mark.parametrize(("dataset", "more"), [("digits", DIGITS), ("cifar10", CIFAR)])
def test_the_values_of_a_rung(dataset, more):
    rungs = ladder.read_ladder(dataset)
    assert {*VALUES, *more} | {"A7", "A10-crop"} == {*rungs}
    for values in (VALUES, more):
        for name, wanted in values.items():
            found = config.flatten(settings_of(rungs[name]))
            assert {key: found[key] for key in wanted} == wanted, name


def test_class_folders_have_the_tutorial_in_small():
    """Two rungs differ as on CIFAR-10, and from those there by what the file says."""
    full, small = ladder.read_ladder("cifar10"), ladder.read_ladder("cifar10-folder")
    assert list(small) == ["S0", "A0", "A1", "A2"]
    for name, rung in small.items():
        assert (rung.above, rung.change, rung.sets) == (full[name].above, full[name].change, full[name].sets)
        wanted = {"dataset", "net", "steps", f"{MT}.decay"}
        changed = {k for k in differing(full[name], rung) if k.split(".")[0] not in ("evaluation", "nets")}
        assert {k for k in changed if not k.startswith("datasets.")} == wanted
        a, b = (next(iter(settings_of(r)["nets"].values())) for r in (full[name], rung))
        assert a == b


def test_the_tutorial_is_its_preset_but_for_precision_and_when_it_is_scored():
    preset = presets.read_preset("tutorial", run.PRESETS)
    given = config.read_recipes(["cifar10"], run.RECIPES, "full", [("tutorial", preset)])
    theirs, ours = (
        config.flatten(part) for part in (config.plain(config.resolve(given)), settings_of(ladder.read_ladder("cifar10")["A0"]))
    )
    differ = {key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key) and not key.startswith("evaluation.")}
    assert differ <= {"precision", "views.strong.randaugment.operations"} | {
        key for key in differ if key.startswith("views.strong")
    }


def test_the_full_ladder_is_that_of_the_design():
    rungs = ladder.read_ladder("cifar10")
    assert [f"A{k}" for k in range(13)] == [name for name in rungs if name[0] == "A" and "-" not in name]
    a0, a10 = settings_of(rungs["A0"]), settings_of(rungs["A10"])
    assert (a0["net"], a0["steps"], a0["nets"]["wrn28_3"]["drop_rate"]) == ("wrn28_3", 82_000, 0.1)
    assert (a0["optimizer"]["lr"], a0["optimizer"]["weight_decay"], a0["optimizer"]["decay_all"]) == (0.1, 1e-4, False)
    assert a0["schedule"]["milestones"] == [41_000 / 82_000, 61_500 / 82_000] and a0["schedule"]["warmup"] == 3 * 410 / 82_000
    mt = a0["algorithms"]["meanteacher"]
    assert (mt["space"], mt["weight"], mt["ramp_length"], mt["decay"], mt["teacher_bn"]) == ("logits", 1, 0.5, 0.999, "own")
    assert (a10["net"], a10["batch"]["unlabeled"], a10["optimizer"]["weight_decay"]) == ("wrn28_2", 64, 5e-4)
    assert settings_of(rungs["A12"])["steps"] == 1_048_576


def test_a_share_of_the_steps():
    recipe = ladder.read_ladder("cifar10")["A3"].recipe
    made = ladder.shortened(recipe, 0.25)
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
        ladder.read_ladder("digits", path)
    assert says in str(error.value)


def row(rung, seed, accuracy, above=None, source="s", **measured):
    """One of a ladder, with two measurements."""
    points = [{"step": step, **{f"mechanism/{name}": value * step / 10 for name, value in measured.items()}} for step in (1, 10)]
    return {
        "rung": rung,
        "above": above,
        "change": f"change of {rung}",
        "algorithm": "meanteacher",
        "net": "n",
        "dataset": "digits",
        "labels": 20,
        "seed": seed,
        "split_hash": f"h{seed}",
        "data_hash": "d",
        "steps": 10,
        "accuracy": accuracy,
        "accuracy_student": accuracy - 0.01,
        "accuracy_median": accuracy - 0.02,
        "accuracy_median_of": 3,
        "confusion": [[50]],
        "device": "a processor",
        "precision": "fp32",
        "versions": {"ssl_zoo": "1", "torch": "2", "python": "3"},
        "commit": "0123456789abcdef",
        "source": source,
        "seconds": 12.0,
        "config": {"algorithms": {}, "steps": 10},
        "mechanism": points,
    }


def test_the_tables():
    rows = [row("S0", 0, 0.7), row("S0", 1, 0.6), row("A0", 0, 0.8, confidence=0.9), row("A0", 1, 0.7, confidence=0.7)]
    rows += [row("A1", 1, 0.75, "A0"), row("A1", 0, 0.83, "A0"), row("A1", 2, 0.1, "A0")]
    found = ladder.sound(rows)
    made = ladder.markdown(found).splitlines()
    assert found.lines == []
    assert "| S0 | change of S0 | 2 | 65.0 ± 7.1 | 64.0 ± 7.1 | 63.0 ± 7.1 |  |  | -10.0 (-10.0 to -10.0), n = 2 |" in made
    # pairs: 83 - 80 and 75 - 70 points: 4 with a standard error of 1, times 12.71; seed 2 has no partner
    assert any(line.startswith("| A1 |") and "| A0: +4.0 (-8.7 to +16.7), n = 2 | +14.0 (" in line for line in made)
    assert next(line for line in made if line.startswith("| A1 |")).endswith(" |  |"), "above is A0, which is not said twice"
    assert "| A0 | -, -, -, 80 | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - |" not in made
    assert "| A0 | 8, 8, 8, 80 | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - |" in made
    assert "A run took 12 s (median; 12 to 12)." in made[-1] and "commit 0123456789." in made[-1]
    assert any("(seeds A1: 0, 1, 2; all others: 0, 1); median: of the last 3 evaluations." in line for line in made)


def test_runs_that_diverged_are_counted_and_in_no_mean(tmp_path):
    def lost(rung, seed):
        scores = ("accuracy", "accuracy_student", "accuracy_median", "accuracy_median_of", "confusion", "seconds")
        return {k: v for k, v in row(rung, seed, 0, "S0").items() if k not in scores} | {"diverged": "the loss is not finite"}

    rows = [row("S0", 0, 0.7), row("S0", 1, 0.6), row("A0", 0, 0.8, "S0"), lost("A0", 1), lost("A1", 0), lost("A1", 1)]
    found = ladder.sound([lost("A0", 0), *rows, lost("A0", 0)])  # one that finished has the place
    assert found.lines == ["2 rows left out: of a rung and a seed that are there twice"]
    made = ladder.markdown(found).splitlines()
    assert any(line.startswith("| A0 | change of A0 | 1, 1 diverged | 80.0 | 79.0 | 78.0 |  |  |") for line in made)
    assert "| A1 | change of A1 | 0, 2 diverged | | | | | | |" in made and made[0].count("|") == made[4].count("|")
    assert not any(
        line.startswith("| A1 |") for line in made[6:]
    ) and "Diverged, and so in no mean, which flatters what is left: A0 (seed 1), A1 (seeds 0, 1)." in "".join(made)
    pytest.importorskip("matplotlib")
    ladder.draw(found, tmp_path / "ladder.png")
    none = ladder.markdown(ladder.sound([lost("A1", 0)])).splitlines()
    assert "| A1 | change of A1 | 0, 1 diverged | | | | | | |" in none and none[-1].startswith("No run finished")


@pytest.mark.parametrize(
    ("name", "value"), [("labels", 40), ("scale", 0.5), ("set", ["a=1"]), ("precision", "bf16"), ("data_hash", "x")]
)
def test_rows_that_differ_in_what_all_share_are_left_out(name, value):
    rows = [row("S0", 0, 0.7), row("A0", 0, 0.8), {**row("A0", 1, 0.8), name: value}]
    kept, _, lines = ladder.sound(rows)
    assert [len(group) for group in kept.values()] == [1, 1] and len(lines) == 1 and name in lines[0]


def test_rows_of_a_rung_that_differ_in_their_recipe_are_left_out():
    odd = row("A0", 2, 0.9)
    odd["config"] = {"algorithms": {}, "steps": 10, "net": "other"}
    kept, _, lines = ladder.sound([row("A0", 0, 0.8), row("A0", 1, 0.8), odd])
    assert len(kept["A0"]) == 2 and "setting net" in lines[0]


def test_an_odd_row_takes_no_place_from_a_sound_one():
    odd = row("A0", 0, 0.1)
    odd["config"] = {"algorithms": {}, "steps": 10, "net": "other"}
    found = ladder.sound([odd, *(row("A0", seed, 0.8) for seed in range(3))])
    assert [r["accuracy"] for r in found.rungs["A0"]] == [0.8, 0.8, 0.8] and len(found.lines) == 1


def test_rows_of_another_code_are_left_out_by_name():
    kept, _, lines = ladder.sound([row("S0", 0, 0.7), row("A0", 0, 0.8), row("A0", 1, 0.8, source="other")])
    assert [len(group) for group in kept.values()] == [1, 1]
    assert (
        len(lines) == 1
        and "seed 1 is left out: other than meanteacher with 20 labels and seed 0 in source (other, s)" in lines[0]
    )


@pytest.mark.slow
def test_a_small_ladder(tmp_path, monkeypatch, capsys):
    """Climbed, gone on with, and shown again from its rows."""
    monkeypatch.chdir(tmp_path)
    argv = ["--rungs", "S0,A0", "--seeds", "0-1", "--scale", "0.02", "--device", "cpu", "--out", "out"]
    argv += ["--set", "datasets.digits.test_size=1600", "--set", "evaluation.unlabeled=20"]
    assert ladder.main([*argv, "--dry-run"]) == 0 and not Path("out").exists()
    assert ladder.main(argv) == 0
    rows = [json.loads(line) for line in Path("out/rows.jsonl").read_text().splitlines()]
    assert [(r["rung"], r["seed"]) for r in rows] == [("S0", 0), ("S0", 1), ("A0", 0), ("A0", 1)]
    splits = [r["split_hash"] for r in rows]
    assert splits[:2] == splits[2:] and splits[0] != splits[1], "a split for each seed, shared by the rungs"
    assert rows[0]["steps"] == len(rows[0]["evaluations"]) == 12
    assert [r["config"]["algorithms"]["meanteacher"]["weight"] for r in rows] == [0, 0, 1, 1]
    points = {name: [p["step"] for p in rows[2]["mechanism"] if name in p] for name in ladder.MEASURED}
    assert points == {name: [*range(1, 13)] for name in ladder.MEASURED}
    assert yaml.safe_load(Path("out/rungs/A0.yaml").read_text())["steps"] == 12
    made = Path("out/ladder.md").read_text()
    capsys.readouterr()
    assert ladder.main(argv) == 0 and "4 finished, 0 to run" in capsys.readouterr().out
    assert Path("out/ladder.md").read_text() == made
    assert ladder.main([*argv, "--rungs", "S0"]) == 0 and Path("out/ladder.md").read_text() == made, "of all runs in it"
    capsys.readouterr()
    Path("doc.md").write_text("a\n<!-- table out/rows.jsonl -->\nold\n<!-- end -->\nz\n")
    assert ladder.main(["--read", "out/rows.jsonl", "--into", "doc.md", "--picture", "again.png"]) == 0
    assert Path("doc.md").read_text() == f"a\n<!-- table out/rows.jsonl -->\n{made}<!-- end -->\nz\n"
    assert Path("again.png").stat().st_size > 10_000
    assert Path("out/ladder.png").read_bytes() == Path("again.png").read_bytes()
    # what no longer belongs there is named, and nothing is compared with it
    Path("out/A0-s1/metrics.jsonl").write_text("{torn")
    Path("out/A0-saved").mkdir()
    Path("out/A0-saved/result.json").write_text("{}")
    capsys.readouterr()
    assert ladder.main(argv) == 0
    said = capsys.readouterr().err
    assert "out/A0-s1 is left out: " in said and "out/A0-saved is left out: it is no run of a rung" in said
    assert len(Path("out/rows.jsonl").read_text().splitlines()) == 3
    assert ladder.main([*argv, "--scale", "0.04"]) == 2
    assert "out/rungs/S0.yaml is another recipe than S0 has now" in capsys.readouterr().err
    rungs = ladder.read_ladder("digits")
    other = rungs | {"S0": rungs["S0"]._replace(recipe=rungs["A0"].recipe)}
    rows, lines = ladder.collect(Path("out"), other, 0.02, argv[-3::2])
    assert [r["rung"] for r in rows] == ["A0"] and any(
        "S0 has another algorithms.meanteacher.weight now (1.0, not 0.0)" in line for line in lines
    )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--rungs", "A99"], "digits has no rung 'A99'"),
        (["--dataset", "moons"], "has no ladder for 'moons'; it has cifar10, cifar10-folder, digits"),
        (["--scale", "0"], "--scale is 0.0; it must be over 0"),
        (["--into", "x.md"], "--into and --picture need --read"),
        (["--read", "none.jsonl"], "none.jsonl"),
        (["--seeds", "a"], "--seeds has 'a'"),
        (["--set", "evaluation.unlabelled=1"], "has no option 'unlabelled'"),
        (["--set", "algorithms.meanteacher.weight=3"], "would change what S0 is, which sets algorithms.meanteacher.weight"),
        (["--rungs", "A0", "--set", "algorithms.meanteacher.weight=3"], "write it into a ladder of your own, for --ladder"),
        (["--set", "optimizer={lr: 1}"], "would change what A5 is, which sets optimizer.lr"),
        (["--set", "steps=7"], "give --scale"),
        (["--set", "net=smallnet"], "would change what every rung is"),
        (["--set", "algorithms.mean-teacher.weight=3"], "which sets algorithms.meanteacher.weight"),
        (["--out", ""], "--out is the folder you are in"),
        (["--ladder", "none.yaml"], "none.yaml"),
        (["--read", "none.jsonl", "--rungs", "A0"], "--rungs is for a ladder that is run"),
        (["--read", "none.jsonl", "--dry-run"], "--dry-run is for a ladder that is run"),
        (["--rungz", "A0"], "--help shows what can be given"),
    ],
)
def test_bad_input(flags, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert ladder.main(flags) == 2
    line = capsys.readouterr().err
    assert says in line and line.startswith("ladder.py: ") and len(line.splitlines()) == 1
    assert not (tmp_path / "runs/ladder-digits/rows.jsonl").exists()


def test_what_cannot_be_read_or_written_into(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = Path(run.__file__).parent / "results/ladder-digits.jsonl"
    Path("plain.md").write_text("no place for it\n")
    for argv, says in (
        (["--read", "none"], "none is not there; ladder.py writes rows.jsonl into its --out"),
        (["--read", "."], "rows.jsonl is not there"),
        (["--read", str(rows), "--into", "none.md"], "--into none.md cannot be used"),
        (["--read", str(rows), "--into", "plain.md"], "--into plain.md: there is no place for the table"),
    ):
        assert ladder.main(argv) == 2
        line = capsys.readouterr().err
        assert says in line and len(line.splitlines()) == 1
    Path("out").mkdir()
    Path("out/rows.jsonl").write_bytes(rows.read_bytes())
    assert ladder.main(["--read", "out"]) == 0
    once = capsys.readouterr().out
    Path("out/rows.jsonl").write_bytes(2 * rows.read_bytes())
    assert ladder.main(["--read", "out"]) == 0
    twice = capsys.readouterr()
    assert twice.out == once and f"{len(rows.read_text().splitlines())} rows left out" in twice.err


def test_a_ladder_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = {"dataset": "digits", "labels": 20, "alg": "meanteacher", "net": "smallnet", "steps": 4, "evaluation": {"every": 2}}
    rungs = {
        "B0": {"from": "base", "change": "nothing"},
        "B1": {"change": "weight 3", "set": {"algorithms": {"meanteacher": {"weight": 3}}}},
    }
    Path("mine.yaml").write_text(yaml.safe_dump({"digits": {"base": recipe, "rungs": rungs}}))
    assert ladder.main(["--ladder", "mine.yaml", "--seeds", "0", "--device", "cpu"]) == 0
    found = capsys.readouterr().out
    assert "| B1 | weight 3 | 1 |" in found and Path("runs/mine-digits/rows.jsonl").exists()


def test_rows_that_are_not_of_a_ladder(capsys):
    committed = Path(run.__file__).parent / "results/digits.jsonl"
    assert ladder.main(["--read", str(committed)]) == 2
    assert "holds a run that is not of a ladder" in capsys.readouterr().err


def test_a_picture_without_matplotlib(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    committed = Path(run.__file__).parent / "results/ladder-digits.jsonl"
    assert ladder.main(["--read", str(committed), "--picture", str(tmp_path / "x.png")]) == 2
    assert 'ladder.py: pictures need matplotlib: pip install -e ".[plot]"' in capsys.readouterr().err


def test_a_recipe_that_measures_nothing_stays_so_when_it_is_shortened():
    assert ladder.shortened({"steps": 10, "evaluation": {"every": 4, "mechanism": 0}}, 0.1)["evaluation"] == {
        "every": 1,
        "mechanism": 0,
    }
