"""Presets: complete, cited, without contradictions, with the weights that their sources have in the common unit."""

import functools
from pathlib import Path

import pytest
import torch
import yaml

from ssl_zoo import NETS, InputError, config, presets, recipes
from ssl_zoo.cli import run, share, sweep
from ssl_zoo.losses import kl_divergence, squared_error
from ssl_zoo.registry import ALGORITHMS

CONFIGS = Path(__file__).parent.parent / "configs"
FOLDER = CONFIGS / "presets"
NAMES = ["fixmatch", "laine", "mixmatch", "oliver", "tarvainen-pytorch", "tarvainen-tf", "torchssl", "tutorial", "usb"]
METHODS = ["supervised", "pimodel", "tempens", "meanteacher"]
ROWS = [  # on what papers and codes disagree, in the order of the design's table
    "space",
    "reduction",
    "ce_denominator",
    "labeled_fraction",
    "weight",
    "labeled_in_unlabeled",
    "stop_gradient",
    "ramp",
    "decay",
    "update_order",
    "averaged",
    "joint_forward",
    "bn_momentum",
    "transition",
    "memory",
    "target",
    "gate",
    "mixing",
    "perturbation",
    "strong",
    "draws",
    "scored",
    "reported",
    "budget",
    "label_split",
    "precision",
]
LAM_EFF = {  # of pimodel, tempens and meanteacher on CIFAR-10 with 4,000 labels; what a source lacks, as its own paper has it
    "tutorial": (None, 30, None),
    "laine": (100, 30, 100),
    "tarvainen-tf": (100, 30, 100),
    "tarvainen-pytorch": (100, 30, 100 * 128 / 31),
    "oliver": (20, 30, 8),
    "mixmatch": (20, 30, 50),
    "torchssl": (10, 30, 50),
    "fixmatch": (10, 30, 50),
    "usb": (10, 30, 50),
}


@functools.cache
def settings(name, *names, alg="meanteacher", budget=recipes.SHORT):
    on_top = [(name, presets.read_preset(name, FOLDER))]
    return config.resolve({**recipes.read_recipes(names or ["cifar10"], CONFIGS, budget, on_top), "alg": alg})


def entries(name):
    return recipes.read_mapping(FOLDER / f"{name}.yaml", "a preset", "parts")["switches"]


def sizes(resolved, fraction=0.08):
    return {
        "classes": 10,
        "batch_labeled": resolved.batch.labeled,
        "batch_unlabeled": resolved.batch.unlabeled,
        "labeled_fraction": fraction,
    }


def test_the_presets():
    assert presets.names(FOLDER) == NAMES and list(presets.SWITCHES) == ROWS


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_sets_or_states_every_switch_in_order_and_cites_it(name):
    found = entries(name)
    assert list(found) == ROWS
    for entry in found.values():
        assert entry["source"].strip() and (entry.get("set") or entry.get("ours", "").strip())
    about = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["about"]
    assert "arXiv:" in about or name == "tutorial"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("recipe", ["cifar10", "digits"])
def test_every_preset_resolves_for_every_method(name, recipe):
    steps = config.resolve(recipes.read_recipes([recipe], CONFIGS)).steps
    full = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["budgets"]["full"]["steps"]
    for alg in METHODS:
        short = settings(name, recipe, alg=alg)
        assert (short.dataset, short.alg, short.steps) == (recipe, alg, steps)
    assert settings(name, recipe, budget="full").steps == full


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alg", METHODS)
def test_what_a_preset_sets_does_not_depend_on_what_is_below(name, alg, tmp_path):
    """On top of a recipe in which every switch is otherwise, and of its own full budget."""
    other = {
        "optimizer": {"clip": 3.0, "decay_all": name != "tarvainen-pytorch"},
        "eval_ema": 0.5,
        "precision": "bf16",
        "input": "image",
    }
    other |= {"schedule": {"warmup": 0.5, "ramp_down": 0.5, "milestones": [0.1]}, "views": {"weak": {"cutout": {}}}}
    other |= {"batch": {"labeled": 1, "unlabeled": 2}, "evaluation": {"net": "method"}, "selection": "last"}
    other["algorithms"] = {
        "pimodel": {"weight": 7.0, "ramp": "cosine", "ramp_length": 0.1, "reduction": "sum"},
        "tempens": {
            "weight": 7.0,
            "ramp": "cosine",
            "ramp_length": 0.1,
            "reduction": "sum",
            "memory_dtype": "bfloat16",
            "alpha": 0.1,
        },
        "meanteacher": {
            "weight": 7.0,
            "ramp": "cosine",
            "decay": 0.1,
            "reduction": "sum",
            "logit_distance": 3.0,
            "teacher_bn": "ema",
        },
    }
    for options in other["algorithms"].values():
        options |= {
            "ce_denominator": "labeled",
            "scale_by_labeled_fraction": name not in ("laine", "tarvainen-tf"),
        }
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**other, "budgets": {"full": other}}))
    on, over = settings(name, alg=alg), settings(name, "cifar10", str(tmp_path / "other.yaml"), alg=alg, budget="full")
    for part in ("algorithms", "nets", "net", "batch", "eval_ema", "precision", "selection", "input", "optimizer"):
        assert getattr(on, part) == getattr(over, part), part
    assert on.evaluation.net == over.evaluation.net and on.views["weak"] == over.views["weak"]
    assert (on.schedule.name, on.schedule.warmup, on.schedule.ramp_down) == (
        over.schedule.name,
        over.schedule.warmup,
        over.schedule.ramp_down,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_switch_is_set(name):
    """So none is left to the recipe below, or to a default."""
    given = presets.read_preset(name, FOLDER)
    for alg in METHODS[1:]:
        assert set(given["algorithms"][alg]) == set(ALGORITHMS.resolve(alg).options), alg
    nets = "convnet13 mlp shakeshake26 smallnet wrn28_2 wrn28_3 wrn28_8 wrn37_2"  # of recipes, presets and README
    assert sorted(given["nets"]) == nets.split() and all("bn_momentum" in options for options in given["nets"].values())


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_in_the_common_unit(name):
    for alg, expected in zip(METHODS[1:], LAM_EFF[name], strict=True):
        resolved = settings(name, alg=alg)
        found = presets.effective_weight(resolved.algorithms[alg], **sizes(resolved))
        assert found is None if expected is None else found == pytest.approx(expected, rel=1e-12)


def test_what_the_nets_get():
    found = {name: settings(name).input for name in NAMES}
    whitened = dict.fromkeys(("laine", "tarvainen-tf", "oliver"), "zca")
    assert found == dict.fromkeys(NAMES, "channel") | whitened | dict.fromkeys(("fixmatch", "mixmatch"), "unit")


def test_the_factors_of_a_weight():
    plain = {"weight": 3, "reduction": "mean", "ce_denominator": "labeled", "scale_by_labeled_fraction": False}
    size = {"classes": 5, "batch_labeled": 4, "batch_unlabeled": 12, "labeled_fraction": 0.25}
    assert presets.effective_weight(plain, **size) == 3
    assert presets.effective_weight({**plain, "reduction": "sum"}, **size) == 15
    assert presets.effective_weight({**plain, "ce_denominator": "batch"}, **size) == 12
    assert presets.effective_weight({**plain, "scale_by_labeled_fraction": True}, **size) == 0.75
    assert presets.effective_weight({**plain, "space": "logits"}, **size) is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"weight": 100.0, "ce_denominator": "batch"},
            "consistency weight: 100 as coded x 128/31 (images of a step to labelled ones): 413 in the common unit (squared "
            "error of probabilities, mean over classes; cross-entropy, labelled mean)",
        ),
        (
            {"weight": 1.0, "space": "logits"},
            "consistency weight: 1 as coded, on logits: like 100 on probabilities (x K^2 = 100), near uniform predictions only",
        ),
        (
            {"weight": 1.5, "space": "kl"},
            "consistency weight: 1.5 as coded, on the KL divergence: like 75 on probabilities (x K^2 / 2 = 50), near uniform "
            "predictions only",
        ),
        (
            {"weight": 100.0, "ce_denominator": "batch", "scale_by_labeled_fraction": True, "reduction": "sum"},
            "consistency weight: 100 as coded x 0.08 (labelled share of the images) x 10 (sum over classes) x 128/31 (images of "
            "a step to labelled ones): 330 in the common unit (squared error of probabilities, mean over classes; cross-entropy, "
            "labelled mean)",
        ),
    ],
)
def test_a_weight_in_words(options, line):
    plain = {"reduction": "mean", "ce_denominator": "labeled", "scale_by_labeled_fraction": False}
    size = {"classes": 10, "batch_labeled": 31, "batch_unlabeled": 97, "labeled_fraction": 0.08}
    assert presets.weight_in_words({**plain, **options}, **size) == line
    assert presets.weight_in_words({"weight": 3, "ramp_length": 0.3}, **size) is None, "a method of a user's, with other options"


def test_the_factors_near_uniform_predictions_are_those_of_the_losses():
    torch.manual_seed(0)
    a, b = 1e-3 * torch.randn(2, 64, 10, dtype=torch.float64)
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    probabilities = squared_error(a.softmax(dim=1), b.softmax(dim=1))
    assert (squared_error(a, b) / probabilities).item() == pytest.approx(100, rel=1e-2)
    assert (kl_divergence(a, b) / probabilities).item() == pytest.approx(50, rel=1e-2)


GOOD = {
    "about": "A code. arXiv:1.2",
    "switches": {switch: {"source": "train.py", "ours": "as ours"} for switch in ROWS},
    "recipe": {"net": "smallnet"},
    "budgets": {"full": {"steps": 7}},
}


def write(tmp_path, **switches):
    """A preset `mine` in which some switches have other entries, or none."""
    given = {name: entry for name, entry in {**GOOD["switches"], **switches}.items() if entry != "left out"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**GOOD, "switches": given}, sort_keys=False))


def weigh(weight, alg="mean-teacher"):
    return {"source": "x.py", "set": {"algorithms": {alg: {"weight": weight}}}}


def test_a_preset_is_a_recipe_with_canonical_names(tmp_path):
    write(tmp_path, weight=weigh(3), ramp=weigh(3, "MeanTeacher"), budget={"source": "x.py", "set": {"batch": {"labeled": 2}}})
    assert presets.read_preset("mine", tmp_path) == {
        "net": "smallnet",
        "budgets": {"full": {"steps": 7}},
        "algorithms": {"meanteacher": {"weight": 3}},
        "batch": {"labeled": 2},
    }


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        (
            {"weight": weigh(3), "ramp": weigh(4, "MeanTeacher")},
            "weight sets algorithms.meanteacher.weight to 3, and ramp sets algorithms.meanteacher.weight to 4; keep one",
        ),
        (
            {"ramp": {"source": "x.py", "set": {"net": "mlp"}}},
            "recipe sets net to 'smallnet', and ramp sets net to 'mlp'; keep one",
        ),
        (
            {
                "draws": {"source": "x.py", "set": {"views": {"weak": {"flip": {}}}}},
                "scored": {"source": "x.py", "set": {"views": {"weak": {"cutout": {}}}}},
            },
            "draws sets views.weak to {'flip': {}}, and scored sets views.weak to {'cutout': {}}; keep one",
        ),
        (
            {"draws": {"source": "x.py", "set": {"optimizer": 3}}, "scored": {"source": "x.py", "set": {"optimizer": {"lr": 1}}}},
            "draws sets optimizer to 3, and scored sets optimizer.lr to 1; keep one",
        ),
        (
            {"ramp": {"source": "x.py", "set": {"budgets": {"full": {"steps": 8}}}}},
            "budgets sets budgets.full.steps to 7, and ramp sets budgets.full.steps to 8; keep one",
        ),
        ({"ramp": {"ours": "so"}}, "the switch 'ramp' has no source; say where it is in the paper or code"),
        ({"ramp": {"source": "", "ours": "so"}}, "the switch 'ramp' has no source; say where it is in the paper or code"),
        ({"ramp": "sigmoid"}, "the switch 'ramp' has no source; say where it is in the paper or code"),
        ({"ramp": {"source": "x.py"}}, "the switch 'ramp' has source; it wants source, and set or ours, and none of them empty"),
        (
            {"ramp": {"source": "x.py", "set": {}}},
            "the switch 'ramp' has source, set; it wants source, and set or ours, and none of them empty",
        ),
        (
            {"ramp": {"source": "x.py", "sets": {}}},
            "the switch 'ramp' has source, sets; it wants source, and set or ours, and none of them empty",
        ),
        ({"ramp": {"source": "x.py", "set": "sigmoid"}}, "ramp must set a mapping of settings, not 'sigmoid'"),
        (
            {"spaces": {"source": "x.py", "ours": "so"}},
            f"there is no switch 'spaces'; did you mean 'space'? switches: {', '.join(ROWS)}",
        ),
    ],
)
def test_presets_that_are_none(switches, message, tmp_path):
    write(tmp_path, **switches)
    with pytest.raises(InputError) as error:
        presets.read_preset("mine", tmp_path)
    assert str(error.value) == f"{tmp_path / 'mine.yaml'}: {message}"


def test_a_switch_that_is_left_out(tmp_path):
    write(tmp_path, ramp="left out")
    with pytest.raises(InputError) as error:
        presets.read_preset("mine", tmp_path)
    said = "leaves out the switch 'ramp' (how the weight rises, and for how long); set it, or say what is ours"
    assert str(error.value) == f"{tmp_path / 'mine.yaml'} {said}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a preset is a mapping of about, switches, recipe, budgets"),
        ("- 1", "is not a preset: it must be a mapping of about, switches, recipe, budgets, not a list"),
        ("about: x", "has the parts about; a preset has about, switches, recipe, budgets"),
        ("{about: x, switches: 3, recipe: {}, budgets: {}}", ": switches must be a mapping from switches to entries, not 3"),
    ],
)
def test_files_that_are_no_preset(text, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        presets.read_preset("mine", tmp_path)
    assert str(error.value).startswith(str(tmp_path / "mine.yaml")) and str(error.value).endswith(message)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))


def call(capsys, *argv, main=run.main):
    """Exit status, what was printed, and the complaint."""
    status = main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_an_unknown_preset(capsys):
    status, out, error = call(capsys, "--preset", "lane")
    assert status == 2 and out == ""
    assert error == f"run.py: no preset is called 'lane'; did you mean 'laine'? known: {', '.join(NAMES)}\n"
    assert call(capsys, "--preset", "../cifar10")[0] == 2


def test_help_names_the_presets(capsys):
    for main in (run.main, sweep.main):
        try:
            out = call(capsys, "--help", main=main)[1]
        except SystemExit:
            out = capsys.readouterr().out
        assert "--preset NAME" in out and all(name in out.replace("\n", " ") for name in ("laine", "tutorial", "torchssl"))


def test_recipe_then_preset_then_set_then_flag(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("{steps: 5, labels: 30, optimizer: {lr: 7}, algorithms: {meanteacher: {weight: 7}}}")
    argv = ["--recipe", "digits", "--recipe", tmp_path / "mine.yaml", "--preset", "oliver"]
    found = yaml.safe_load(call(capsys, *argv, "--print-config")[1])
    assert (found["steps"], found["labels"], found["net"]) == (5, 30, "wrn28_2"), "what the preset does not set is the recipe's"
    assert (found["optimizer"]["lr"], found["algorithms"]["meanteacher"]["weight"]) == (4e-4, 8)
    argv += ["--set", "algorithms.mean-teacher.weight=9", "--net", "smallnet", "--budget", "full"]
    found = yaml.safe_load(call(capsys, *argv, "--print-config")[1])
    assert (found["algorithms"]["meanteacher"]["weight"], found["net"], found["steps"]) == (9, "smallnet", 500_000)
    assert found["evaluation"]["every"] == 5000
    assert yaml.safe_load(call(capsys, *argv, "--steps", "4", "--print-config")[1])["steps"] == 4


def test_a_budget_that_only_the_preset_has_or_that_nobody_has(capsys):
    found = yaml.safe_load(call(capsys, "--dataset", "mnist", "--preset", "laine", "--budget", "full", "--print-config")[1])
    assert (found["dataset"], found["steps"]) == ("mnist", 150_000)
    status, _, error = call(capsys, "--preset", "laine", "--budget", "huge")
    assert status == 2 and "the recipe digits + preset laine has no budget 'huge'; it has: short, full" in error


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "tarvainen-pytorch",
            "consistency weight: 100 as coded x 128/31 (images of a step to labelled ones): 413 in the common unit (squared "
            "error of probabilities, mean over classes; cross-entropy, labelled mean)",
        ),
        (
            "tutorial",
            "consistency weight: 1 as coded, on logits: like 100 on probabilities (x K^2 = 100), near uniform predictions only",
        ),
    ],
)
def test_a_run_says_its_weight(name, line, capsys):
    status, out, error = call(capsys, "--preset", name, "--net", "smallnet", "--steps", 3, "--device", "cpu")
    assert status == 0, error
    assert out.splitlines()[1] == line
    assert Path(f"runs/digits-20-{name}/meanteacher-smallnet-s0/result.json").exists()


@pytest.mark.usefixtures("elsewhere")
def test_sweeps_and_measurements_take_a_preset(capsys):
    words = ["--recipe", "digits", "--preset", "tutorial", "--algs", "supervised", "--nets", "smallnet", "--steps", "1"]
    cells = sweep.cells_of(sweep.parser().parse_args(words), Path("grid"))
    assert cells[0].settings.batch.unlabeled == 112 and cells[0].settings.optimizer.lr == 0.1
    status, out, _ = call(capsys, *words, "--dry-run", main=sweep.main)
    assert status == 0 and "1 cell:" in out
    status, _, error = call(capsys, "--preset", "tutrial", main=share.main)
    assert status == 2 and "did you mean 'tutorial'?" in error


# batch, optimiser, rate, weight decay, schedule; of Mean Teacher the ramp and decay; labelled images in the unlabelled stream
COLUMNS = {
    "laine": (8, 92, "adamw", 0.003, 0, "constant", ("sigmoid", 80 / 300), 0.999, True),
    "tarvainen-tf": (8, 92, "adamw", 0.003, 0, "constant", ("sigmoid", 40 / 150), 0.999, True),
    "tarvainen-pytorch": (31, 97, "sgd", 0.05, 2e-4, "cosine", ("sigmoid", 5 / 300), 0.99, False),
    "oliver": (50, 50, "adamw", 4e-4, 0, "steps", ("sigmoid", 0.4), 0.95, True),
    "mixmatch": (64, 64, "adamw", 0.002, 0.02, "constant", ("linear", 0.4), 0.999, False),
    "torchssl": (64, 64, "sgd", 0.03, 5e-4, "cosine7_16", ("linear", 0.4), 0.999, True),
    "fixmatch": (64, 64, "sgd", 0.03, 5e-4, "cosine7_16", ("linear", 0.4), 0.999, True),
    "usb": (64, 64, "sgd", 0.03, 5e-4, "cosine7_16", ("linear", 0.4), 0.999, True),
    "tutorial": (16, 112, "sgd", 0.1, 1e-4, "steps", ("sigmoid", 0.5), 0.999, False),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_rest_is_that_of_the_source(name):
    s = settings(name)
    mt = s.algorithms["meanteacher"]
    found = (s.batch.labeled, s.batch.unlabeled, s.optimizer.name, s.optimizer.lr, s.optimizer.weight_decay, s.schedule.name)
    *start, (ramp, length), decay, stream = COLUMNS[name]
    assert found == tuple(start)
    assert (mt["ramp"], mt["decay"], s.batch.labeled_in_unlabeled) == (ramp, decay, stream)
    assert mt["ramp_length"] == pytest.approx(length, abs=1e-3)


def test_schedules_of_presets():
    laine, tf, oliver, pytorch = (settings(name).schedule for name in ("laine", "tarvainen-tf", "oliver", "tarvainen-pytorch"))
    assert (laine.warmup, laine.ramp_down) == (pytest.approx(80 / 300, abs=1e-3), pytest.approx(50 / 300, abs=1e-3))
    assert (tf.warmup, tf.ramp_down) == (pytest.approx(40 / 150, abs=1e-3), pytest.approx(25 / 150, abs=1e-3))
    assert laine.warmup_form == tf.warmup_form == "sigmoid"
    assert (oliver.milestones, oliver.gamma) == ((0.8,), 0.2) and pytorch.cosine_fraction == pytest.approx(300 / 350, abs=1e-3)


@pytest.mark.usefixtures("elsewhere")
def test_averages_that_cannot_settle_are_told(capsys):
    """A recipe for a million steps, run for a few, looks broken."""
    status, _, error = call(capsys, "--preset", "mixmatch", "--net", "smallnet", "--steps", 3, "--device", "cpu")
    assert status == 0
    assert "after 3 steps 100 % of batch norm's running statistics will be their initial values" in error
    assert "--set nets.smallnet.bn_momentum=0.1" in error
    assert "after 3 steps 100 % of the averaged weights will be the initial ones" in error and "warmup_average=true" in error
    settled = ["--set", "nets.smallnet.bn_momentum=0.1", "--set", "algorithms.meanteacher.warmup_average=true", "--out", "o"]
    _, _, error = call(capsys, "--preset", "mixmatch", "--net", "smallnet", "--steps", 3, "--device", "cpu", *settled)
    assert "running statistics" not in error and "averaged weights" not in error


def test_a_net_that_a_preset_does_not_know():
    """What it gives to all of the net's family is told, unless the user has set it."""

    def lines(preset, net, **options):
        entry = NETS.resolve(net)
        return presets.unset(preset, presets.FOLDER, entry, {name: p.default for name, p in entry.options.items()} | options)

    (line,) = lines("mixmatch", "wrn16_2")
    given = "`nets.wrn16_2.bn_momentum=0.001` `nets.wrn16_2.conv_bias=all`"
    assert line.endswith(f"does not know the net wrn16_2; to give it what the nets of that family get: {given}")
    (line,) = lines("tutorial", "wrn16_2")
    for option in ("bn_momentum=0.001", "transition=raw", "drop_rate=0.1", "bn_eps=1e-05"):
        assert f"`nets.wrn16_2.{option}`" in line
    entry = NETS.resolve("wrn16_2")
    options = {name: p.default for name, p in entry.options.items()}
    (line,) = presets.unset("tutorial", presets.FOLDER, entry, options, {"nets.wrn16_2.bn_momentum", "nets.wrn16_2.transition"})
    assert "bn_eps=1e-05" in line and "bn_momentum" not in line and "transition" not in line, "set by the user to the default"
    assert (
        lines("mixmatch", "wrn28_2")
        == lines("mixmatch", "wrn16_2", bn_momentum=0.01, conv_bias="stem")
        == lines("tarvainen-pytorch", "wrn16_2")
        == []
    )
