import re
from pathlib import Path

import pytest
import yaml

from ssl_zoo import InputError, config, recipes
from ssl_zoo.cli.parser import Parser
from ssl_zoo.settings import RunSettings
from tests.conftest import STEPPED


def read(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return recipes.read_recipe(str(path), tmp_path)


def test_an_empty_recipe_is_the_defaults():
    settings = config.resolve({})
    assert settings.alg == "meanteacher" and settings.batch.labeled == 64 and settings.views == {"weak": {}}
    assert settings.algorithms["meanteacher"]["decay"] == 0.999 and settings.nets["wrn28_2"]["drop_rate"] == 0.0
    assert settings.datasets == {"digits": {"test_size": 500}}


def test_names_become_canonical_and_only_what_is_used_is_kept():
    given = {"alg": "Mean-Teacher", "net": "WRN-28-2", "algorithms": {"mean_teacher": {"weight": 3}, "pimodel": {"weight": 1}}}
    settings = config.resolve(given)
    assert (settings.alg, settings.net) == ("meanteacher", "wrn28_2")
    assert list(settings.algorithms) == ["meanteacher"] and settings.algorithms["meanteacher"]["weight"] == 3.0


def test_values_get_the_type_of_their_annotation():
    settings = config.resolve({"optimizer": {"lr": 1, "betas": [0.5, 0.9]}, "labels": "all", "eval_ema": None})
    assert isinstance(settings.optimizer.lr, float) and settings.optimizer.betas == (0.5, 0.9) and settings.labels == "all"


def test_a_dumped_configuration_is_itself_a_recipe(tmp_path):
    given = {
        "alg": "tempens",
        "views": {"weak": {"flip": {}, "translate": {"pixels": 2}}},
        "schedule": {"milestones": [0.5, 0.7]},
    }
    settings = config.resolve(given)
    assert config.resolve(read(tmp_path, config.dump(settings))) == settings
    assert list(settings.views["weak"]) == ["flip", "translate"]  # their order is kept


def test_numbers_as_people_write_them(tmp_path):
    assert read(tmp_path, "a: 5e-4\nb: 1E3\nc: .5\nd: -2.5e+1\ne: v5e4\n") == {
        "a": 5e-4,
        "b": 1000.0,
        "c": 0.5,
        "d": -25.0,
        "e": "v5e4",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labls": 3}, "there is no setting 'labls'; did you mean 'labels'?"),
        ({"optimizer": {"lrr": 3}}, "optimizer has no option 'lrr'; did you mean 'lr'?"),
        ({"algorithms": {"meanteacher": {"weigth": 3}}}, "algorithms.meanteacher has no option 'weigth'; did you mean 'weight'?"),
        ({"algorithms": {"pimodel": {"weigth": 3}}}, "algorithms.pimodel has no option 'weigth'"),
        ({"algorithms": {"meantaecher": {}}}, "no algorithm is called 'meantaecher'; did you mean 'meanteacher'?"),
        ({"algorithms": {"mean-teacher": {}, "meanteacher": {}}}, "algorithms names 'meanteacher' twice"),
        ({"nets": {"wrn28_2": {"depth": 3}}}, "nets.wrn28_2 has no option 'depth'"),
        ({"views": {"weak": {"flop": {}}}}, "no augmentation is called 'flop'; did you mean 'flip'?"),
        ({"views": {"weak": {"flip": {"probability": 3}}}}, "flip.probability = 3"),
        ({"views": {"weak": {"affine": {"rotat": 3}}}}, "views.weak.affine has no option 'rotat'; did you mean 'rotate'?"),
        ({"views": ["weak"]}, "views must be a mapping"),
        ({"views": {"weak": ["flip"]}}, "views.weak must be a mapping"),
        ({"optimizer": 3}, "optimizer must be a mapping of options, not 3"),
        ({"algorithms": 3}, "algorithms must be a mapping"),
        ({"optimizer": {"lr": "fast"}}, "optimizer.lr = 'fast' is not of the type float"),
        ({"optimizer": {"name": "sdg"}}, "optimizer.name = 'sdg' is not of the type 'sgd' or 'adamw'"),
        ({"unlabeled_classes": "8,9"}, "[str | int, ...]; write a list, `unlabeled_classes=[8,9]`"),
        ({"labels": "some"}, "labels = 'some' is not of the type"),
        ({"labels": True}, "labels = True is not of the type"),
        ({"steps": 1.5}, "steps = 1.5 is not of the type int"),
        ({"steps": 0}, "steps = 0 is out of range: it must be from 1 to 100000000"),
        ({"optimizer": {"lr": float("nan")}}, "optimizer.lr = nan is out of range"),
        ({"schedule": {"warmup": 3}}, "schedule.warmup = 3.0 is out of range"),
        ({"batch": {"labeled": 0}}, "batch.labeled = 0"),
        ({"optimizer": {"momentum": 0}}, "optimizer.nesterov needs a momentum"),
        ({"lr": 3}, "there is no setting 'lr'; did you mean `optimizer.lr=3`?"),
        ({"name": 3}, "there is no setting 'name'; did you mean `optimizer.name=3` or `schedule.name=3`?"),
        ({5: 3}, "there is no setting '5'"),
        ({"optimizer": {"learning_rate": 3}}, "optimizer has no option 'learning_rate'; did you mean `optimizer.lr=3`?"),
        ({"algorithms": {"meanteacher": {"lr": 3}}}, "algorithms.meanteacher has no option 'lr'; did you mean `optimizer.lr=3`?"),
        ({"optimizer": None}, "optimizer must be a mapping of options, not None"),
        ({"views": {"weak": None}}, "views.weak is null; write {} for a view without augmentation"),
        ({"optimizer": {"lr": float("inf")}}, "optimizer.lr = inf is out of range"),
        ({"data_root": ""}, "data_root is empty"),
        ({"steps": None}, "steps = None is not of the type int"),
        ({"net": None}, "net = None is not of the type str"),
        ({"batch": {"labeled": None}}, "batch.labeled = None is not of the type int"),
        ({"algorithms": {"meanteacher": {"joint_forward": None}}}, "joint_forward = None is not of the type bool"),
        ({"views": {"weak": {"affine": {"rotate": None}}}}, "rotate = None is not of the type float"),
        ({"optimizer": {"betas": [1.5, 0.9]}}, "optimizer.betas = 1.5"),
    ],
)
def test_wrong_settings_are_one_line_that_names_them(given, message):
    with pytest.raises(InputError) as error:
        config.resolve(given)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not YAML"),
        ("- a\n- b\n", "must be a mapping of settings"),
        ("", "is empty; a recipe is a mapping"),
        ("a: 1\na: 2\n", "the key 'a' stands twice"),
        ("a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("? {a: 1}\n: 2\n", "is not"),
    ],
)
def test_recipes_that_are_none(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value) and "recipe.yaml" in str(error.value)


def test_aliases_anchors_and_empty_sections(tmp_path):
    recipe = read(tmp_path, "algorithms: {mean-teacher: &x {decay: .9}, pi-model: {weight: 3}}\nnets:\n")
    recipes.put_assignment(recipe, "algorithms.MeanTeacher.weight=3")
    recipes.put_assignment(recipe, "nets.wrn28_2.drop_rate=.1")
    settings = config.resolve(recipe)
    assert settings.algorithms["meanteacher"]["weight"] == 3 and settings.algorithms["meanteacher"]["decay"] == 0.9
    assert settings.nets["wrn28_2"]["drop_rate"] == 0.1
    assert read(tmp_path, "a: &x {p: 1}\nb: {<<: *x, q: 2}\n")["b"] == {"p": 1, "q": 2}
    with pytest.raises(InputError, match="algorithms names 'meanteacher' twice"):
        read(tmp_path, "algorithms: {mean-teacher: {}, meanteacher: {}}\n")


def test_what_an_alias_puts_in_two_places_are_two(tmp_path):
    recipe = read(tmp_path, "views: {weak: &w {flip: {}}, strong: *w}\nnets: {mlp: &n {bn_momentum: .2}, wrn28_2: *n}\n")
    recipes.put_assignment(recipe, "views.strong.cutout={}")
    recipes.put_recipe(recipe, {"nets": {"mlp": {"bn_momentum": 0.3}}})
    assert recipe["views"] == {"weak": {"flip": {}}, "strong": {"flip": {}, "cutout": {}}}
    assert recipe["nets"] == {"mlp": {"bn_momentum": 0.3}, "wrn28_2": {"bn_momentum": 0.2}}


def test_a_recipe_that_does_not_exist(tmp_path):
    (tmp_path / "digits.yaml").write_text("steps: 1\n")
    with pytest.raises(InputError, match="no recipe is called 'digts' and no such file exists; did you mean 'digits'"):
        recipes.read_recipe("digts", tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        recipes.read_recipe("binary", tmp_path)


def test_put_assignment():
    settings = {"algorithms": {"meanteacher": {"weight": 1}}, "steps": 5}
    recipes.put_assignment(settings, "algorithms.Mean-Teacher.decay=5e-1")
    recipes.put_assignment(settings, "views.weak={flip: {}}")
    recipes.put_assignment(settings, "schedule.milestones=[0.5, 0.75]")
    assert settings["algorithms"] == {"meanteacher": {"weight": 1, "decay": 0.5}}
    assert settings["views"] == {"weak": {"flip": {}}} and settings["schedule"]["milestones"] == [0.5, 0.75]
    for wrong, message in {
        "steps": "wants KEY=VALUE",
        "=3": "wants KEY=VALUE",
        "steps.x=1": "steps is 5, not a mapping",
        "a=[": "not YAML",
    }.items():
        with pytest.raises(InputError, match=message):
            recipes.put_assignment(settings, wrong)


def test_explain_shows_every_setting_with_its_documentation():
    text = config.explain(config.resolve({"alg": "pimodel", "views": {"weak": {"affine": {"rotate": 5}}}}))
    for part in (
        "optimizer.lr = 0.03  (float)",
        "algorithms.pimodel.stop_gradient = false",
        "views.weak.affine.rotate = 5.0",
        "nets.wrn28_2.drop_rate",
    ):
        assert part in text
    assert "Take the second view as a fixed target" in text
    flat = recipes.flatten(config.plain(RunSettings()))
    for key in flat:
        if not key.startswith(("views", "datasets", "nets", "algorithms")):
            line = text.splitlines().index(next(line for line in text.splitlines() if line.startswith(f"  {key} = ")))
            assert text.splitlines()[line + 1].startswith("      "), f"{key} has no documentation"


def test_flatten():
    assert recipes.flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}


CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != recipes.LADDER)
BUDGETED = ["cifar10", "cifar100", "digits", "folder", "stl10", "svhn"]


@pytest.mark.parametrize(("name", "budget"), [*((n, "short") for n in SHIPPED), *((n, "full") for n in BUDGETED)])
def test_every_shipped_recipe_is_valid(name, budget):
    recipe = recipes.read_recipes([name], CONFIGS, budget)
    assert {"supervised", "pimodel", "tempens", "meanteacher"} <= set(recipe["algorithms"])
    if name not in ("moons", "features"):  # which are no images
        assert {*STEPPED} - {"finetune"} <= {*recipe["algorithms"]}
    assert {*recipe["algorithms"]} <= {*STEPPED, "probe"} - {"finetune"}  # others as they are
    for alg in recipe["algorithms"]:
        settings = config.resolve({**recipe, "alg": alg})
        assert yaml.safe_load(config.dump(settings))["alg"] == alg
        assert settings.dataset == {"photos": "folder", "features": "arrays"}.get(name, name)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "svhn"])
def test_the_full_budget_is_the_published_protocol(name):
    """TorchSSL's, arXiv:2110.08263: the same steps, evaluations, weight decay, net and average for every method."""
    settings = config.resolve(recipes.read_recipes([name], CONFIGS, "full"))
    assert (settings.steps, settings.evaluation.every, settings.eval_ema) == (1_048_576, 5000, 0.999)
    assert settings.algorithms["meanteacher"]["weight"] == 50 and settings.algorithms["meanteacher"]["decay"] == 0.999
    assert (settings.batch.labeled, settings.batch.unlabeled, settings.optimizer.lr) == (64, 64, 0.03)
    assert settings.net == {"cifar100": "wrn28_8", "stl10": "wrn37_2"}.get(name, "wrn28_2")
    assert settings.nets[settings.net]["bn_momentum"] == 0.001
    assert settings.optimizer.weight_decay == (1e-3 if name == "cifar100" else 5e-4)


def test_the_numbers_that_recipes_quote_are_published():
    """`[TorchSSL] Table 8, 250 labels: pimodel 46.24, ...` in a recipe says what published.yaml says."""
    published = yaml.safe_load((CONFIGS.parent / "ssl_zoo" / "tables" / "published.yaml").read_text())
    errors = {(p["source"], p["dataset"], str(p["labels"]), p["algorithm"]): p["error_mean"] for p in published}
    quoted = 0
    for name in SHIPPED:
        text = (CONFIGS / f"{name}.yaml").read_text()
        for table, labels, numbers in re.findall(r"\[TorchSSL\] (Table \d+), (\d+) labels: (.*) % error", text):
            for method, error in re.findall(r"(\w+) ([\d.]+)", numbers):
                source = f"Zhang et al. 2021 (FlexMatch), arXiv 2110.08263, {table}"
                assert errors[source, name, labels, method] == float(error)
                quoted += 1
    assert quoted == 108


def test_a_budget_lies_on_top_of_its_recipe_and_below_the_next(tmp_path):
    text = """
        {steps: 10, nets: {wrn-28-2: {drop_rate: .1}}, views: {weak: {flip: {}}},
        budgets: {full: {steps: 99, nets: {WRN_28_2: {bn_momentum: .5}}, views: {weak: {}}}}}"""
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text("labels: 7\n")
    (tmp_path / "c.yaml").write_text("steps: 3\nbudgets: {full: {labels: 8}, huge: {}}\n")

    def read(*names, budget="short"):
        return recipes.read_recipes(names, tmp_path, budget)

    assert read("a") == {"steps": 10, "nets": {"wrn28_2": {"drop_rate": 0.1}}, "views": {"weak": {"flip": {}}}}
    full = {"steps": 99, "nets": {"wrn28_2": {"drop_rate": 0.1, "bn_momentum": 0.5}}, "views": {"weak": {}}}
    assert read("a", budget="full") == full
    assert read("a", "b", budget="full") == {**full, "labels": 7}
    assert read("a", "c", budget="full") == {**full, "steps": 3, "labels": 8}
    with pytest.raises(
        InputError, match=r"the recipe a \+ c has no budget 'hug'; did you mean 'huge'\? it has: short, full, huge"
    ):
        read("a", "c", budget="hug")
    with pytest.raises(InputError, match="the recipe b has no budget 'full'; it has: short"):
        read("b", budget="full")


@pytest.mark.parametrize("text", ["budgets: 3", "budgets: {full: 3}", "budgets: [full]"])
def test_budgets_that_are_none(tmp_path, text):
    with pytest.raises(InputError, match="budgets must be a mapping from names to settings"):
        read(tmp_path, text)


@pytest.mark.parametrize("word", ["1e3", "1.e-4", "yes", "null", "0x10", "007", "é", "a: b", "- x", ""])
def test_a_text_is_read_back_as_a_text(word):
    """Of YAML's two ideas of a number, ours takes 1e3 for one: so what is written must be in quotes."""
    settings = config.resolve({"split_file": word})
    assert config.resolve(recipes.parse_yaml(config.dump(settings), "it")) == settings


def test_a_flag_that_is_cut_short_is_unknown():
    parser = Parser(prog="x.py")
    parser.add_argument("--out")
    with pytest.raises(InputError, match=r"unknown argument '--ou'; did you mean '--out'\? --help shows what can be given"):
        parser.parse_args(["--ou", "y"])


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("optimizer.lr", ["optimizer", "lr"]),
        ("algorithms.mean-teacher.batch.unlabeled", ["algorithms", "meanteacher", "batch", "unlabeled"]),
        ("nets.WRN28_2.drop_rate", ["nets", "wrn28_2", "drop_rate"]),
        ("nets.timm:resnet18.pretrained", ["nets", "timm:resnet18", "pretrained"]),
        ("nets.timm:resnet18.a1_in1k.pretrained", ["nets", "timm:resnet18.a1_in1k", "pretrained"]),
        ("views.weak", ["views", "weak"]),
    ],
)
def test_a_name_may_have_a_dot(key, parts):
    assert recipes.parts_of_key(key) == parts
    given = {}
    recipes.put(given, key, 3)
    place = given
    for part in parts:
        place = place[part]
    assert place == 3


def test_a_misspelt_word_of_a_few_is_named():
    with pytest.raises(InputError, match=r"optimizer\.freeze = 'boddy' is not of the type .*; did you mean 'body'\?$"):
        config.resolve({"optimizer": {"freeze": "boddy"}})
    with pytest.raises(InputError, match=r"labels = 'al' is not of the type int or 'all'; did you mean 'all'\?$"):
        config.resolve({"labels": "al"})
    with pytest.raises(InputError, match=r"optimizer\.freeze = 3 is not of the type 'none' or 'body' or 'bn'$"):
        config.resolve({"optimizer": {"freeze": 3}})


def test_what_was_read_before_is_not_shared():
    """The same section twice is the same values, and no object of one is one of the other's; a wrong one is refused twice."""

    def made(**given):
        return config.resolve({"alg": "uda", "views": {"weak": {"resized_crop": {"ratio": [0.5, 2.0]}}}, **given})

    one, other = made(), made()
    assert one == other and one.views["weak"]["resized_crop"] is not other.views["weak"]["resized_crop"]
    one.algorithms["uda"]["threshold"] = 0.1
    assert made().algorithms["uda"]["threshold"] == 0.8
    assert made(algorithms={"uda": {"threshold": 1}}).algorithms["uda"]["threshold"] == 1
    assert isinstance(made(algorithms={"uda": {"joint_forward": True}}).algorithms["uda"]["joint_forward"], bool)
    for _ in range(2):
        with pytest.raises(InputError, match="joint_forward = 1 is not of the type"):
            made(algorithms={"uda": {"joint_forward": 1}})
