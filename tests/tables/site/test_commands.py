"""A command that is shown makes the settings that the rows have; where none can be told, the reason is."""

import json
import shlex
from pathlib import Path

import pytest

from ssl_zoo import config, recipes
from ssl_zoo.cli import sweep
from ssl_zoo.runs.row import read_rows
from ssl_zoo.tables.site.commands import APART, _ranges, commands_of
from ssl_zoo.tables.variants import told_apart

RESULTS = Path(__file__).parents[3] / "benchmarks/results"


def committed(name):
    return read_rows([RESULTS / f"{name}.jsonl"])


def cells_of(line):
    """The cells of a command."""
    words = shlex.split(line)
    assert words[:2] == ["ssl-zoo", "sweep"]
    return sweep.cells_of(sweep.parser().parse_args(words[2:]), Path("out"))


def made_by(line):
    """The settings of every run of a command, by method, labels and seed."""
    return {(s.alg, s.labels, s.seed): config.plain(s) for s in (cell.settings for cell in cells_of(line))}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "digits",
            [
                "ssl-zoo sweep --recipe digits --algs labelspreading,meanteacher,pimodel,probe,selftraining,supervised,tempens "
                "--nets wrn28_2 --labels 20 --seeds 0-4 --set precision=bf16",
                "ssl-zoo sweep --recipe digits --algs labelspreading,probe,supervised --nets wrn28_2 --labels all --seeds 0-4 "
                "--set precision=bf16",
            ],
        ),
        (
            "cifar10-jpeg",
            [
                "ssl-zoo sweep --recipe folder --algs meanteacher,pimodel,supervised,tempens --nets smallnet --labels 4000 "
                "--seeds 0-1 --data-root data/cifar10_jpeg --steps 1500 --set evaluation.every=300 "
                "--set precision=bf16"
            ],
        ),
        ("digits-fp32", None),
        ("digits-labels", None),
    ],
)
def test_the_commands_of_what_is_committed_make_its_settings(name, lines):
    rows = committed(name)
    made = commands_of(rows)
    assert made.lines == (lines or made.lines) and made.lines
    settings = {key: value for line in made.lines for key, value in made_by(line).items()}
    assert {*settings} == {(row["algorithm"], row["labels"], row["seed"]) for row in rows}, "these runs and no other"
    for row in rows:
        wanted = recipes.flatten(settings[row["algorithm"], row["labels"], row["seed"]])
        for key, value in recipes.flatten(row["config"]).items():
            if key not in APART - {"alg", "net", "labels", "seed", "split_seed"} and value != {}:
                assert wanted[key] == value, key
        assert wanted["precision"] == row["precision"], "what it had, on any machine"
    assert "Derived from the rows' settings" in made.said and "Commit of the runs: " in made.said


def changed(row, **settings):
    """A row with other settings, by dotted key with `__` for the dot."""
    config_ = json.loads(json.dumps(row["config"]))
    for key, value in settings.items():
        recipes.put(config_, key.replace("__", "."), value)
    return {**row, "config": config_}


def test_a_setting_of_one_method_and_a_view_are_set():
    """A view with one augmentation of two is not the recipe's, though all that it has is as there."""
    rows = [changed(row, views__weak={"flip": {}}) for row in committed("digits")]
    rows = [changed(row, algorithms__meanteacher__decay=0.5) if row["algorithm"] == "meanteacher" else row for row in rows]
    made = commands_of(rows)
    assert len(made.lines) == 2 and all("--set algorithms.meanteacher.decay=0.5" in line for line in made.lines)
    settings = made_by(made.lines[0])["meanteacher", 20, 0]
    assert settings["algorithms"]["meanteacher"]["decay"] == 0.5 and [*settings["views"]["weak"]] == ["flip"]


def test_a_budget_is_found():
    row = committed("digits")[0]
    settings = config.settle(config.gather(["digits"], budget="full"), {"alg": row["algorithm"], "net": row["net"]})
    made = commands_of([{**row, "config": config.plain(settings)}])
    assert made.lines == [
        f"ssl-zoo sweep --recipe digits --budget full --algs {row['algorithm']} --nets wrn28_2 --labels 20 --seeds {row['seed']} "
        "--set precision=bf16"
    ]


def varied():
    """The committed runs, as if their learning rate and Mean Teacher's weight had been varied."""
    rows = []
    for row in committed("digits"):
        for lr in (0.003, 0.01):
            one = {**changed(row, optimizer__lr=lr), "axes": ["optimizer.lr"]}
            weights = (10.0, 100.0) if row["algorithm"] == "meanteacher" else ()
            of_weight = [changed(one, algorithms__meanteacher__weight=w) for w in weights]
            rows += [{**one, "axes": ["algorithms.meanteacher.weight", "optimizer.lr"]} for one in of_weight] or [one]
    return told_apart(rows)[0]


def test_what_was_varied_is_a_grid():
    rows = varied()
    made = commands_of(rows)
    weight, lr = "--grid algorithms.meanteacher.weight=10.0,100.0", "--grid optimizer.lr=0.003,0.01"
    assert [(weight in line, lr in line, " --set optimizer.lr" in line) for line in made.lines] == [
        (True, True, False),
        (False, True, False),
    ]
    found = sorted(varied_of(config.plain(cell.settings)) for line in made.lines for cell in cells_of(line))
    assert found == sorted(varied_of(row["config"]) for row in rows), "these runs and no other"


def varied_of(settings):
    own = settings["algorithms"].get("meanteacher", {}).get("weight", "")
    return str((settings["alg"], settings["labels"], settings["seed"], settings["optimizer"]["lr"], own))


def test_what_no_grid_makes_has_no_command():
    rows = varied()
    gone = next(row for row in rows if row["algorithm"] == "meanteacher")
    assert "not all combinations" in commands_of([row for row in rows if row is not gone]).said
    views = [
        changed(row, views__weak=view) | {"axes": ["views.weak"]} for row in committed("digits") for view in ({}, {"flip": {}})
    ]
    assert "their views were varied" in commands_of(told_apart(views)[0]).said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: {**row, "plugins": "net mine (mine.py 12ab)"}, "plug-ins, whose files may lie anywhere: net mine"),
        (lambda row: changed(row, folds=5), "in folds, which `ssl-zoo run --folds` makes"),
        (lambda row: changed(row, minutes=5), "`minutes`"),
        (lambda row: changed(row, split_file="a.json"), "`split_file`"),
        (lambda row: changed(row, wind=5), "no setting wind"),
        (lambda row: {**row, "algorithm": "nobody"}, "nobody"),
        (lambda row: {**row, "dataset": "<b>"}, "no recipe is for the data set <b>"),
        (lambda row: {**row, "split_seed": row["seed"] + 7}, "label splits have other seeds"),
        (lambda row: {**row, "seed": -1, "split_seed": -1}, "no sweep has the seed -1"),
        (lambda row: changed(row, **{f"optimizer__{k}": 0.123 for k in ("lr", "momentum")}, views__weak=3), "views"),
    ],
)
def test_where_no_command_can_be_told_the_reason_is(change, reason):
    made = commands_of([change(row) for row in committed("digits")])
    assert made.lines == [] and made.said.startswith("No command can be derived from the rows: ") and reason in made.said


def test_another_recipe_is_not_passed_off_as_one_of_ours():
    given = {"optimizer__lr": 0.5, "optimizer__momentum": 0.5, "optimizer__nesterov": False, "optimizer__weight_decay": 0.1}
    given |= {"optimizer__clip": 1.0, "schedule__name": "constant", "schedule__warmup": 0.1, "schedule__gamma": 0.5, "steps": 7}
    given |= {"batch__labeled": 3, "batch__unlabeled": 3, "evaluation__every": 3, "evaluation__last_k": 1, "evaluation__batch": 9}
    made = commands_of([changed(row, **given) for row in committed("digits")])
    assert made.lines == [] and "differs from them in 14 settings, so it is another one" in made.said


def test_one_label_split_of_all_runs_is_said():
    rows = [{**row, "split_seed": 3} for row in committed("digits")]
    assert all("--split-seed 3" in line for line in commands_of(rows).lines)


def test_numbers_as_ranges():
    assert _ranges([0, 1, 2, 7, 9, 10]) == "0-2,7,9-10" and _ranges([4]) == "4"
