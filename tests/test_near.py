"""What a word that is no setting may mean."""

import dataclasses

import pytest

from ssl_zoo import InputError, config, near, recipe, recipes
from ssl_zoo.registry import ALGORITHMS, DATASETS, NETS
from ssl_zoo.settings import RunSettings


@pytest.mark.parametrize(
    ("word", "value", "said"),
    [
        ("lr", 0.1, "did you mean `optimizer.lr=0.1`? "),
        ("lr-rate", 0.1, "did you mean `optimizer.lr=0.1`? "),
        ("LearningRate", 0.1, "did you mean `optimizer.lr=0.1`? "),
        ("bs", 32, "did you mean `batch.labeled=32` or `batch.unlabeled=32`? "),
        ("batch_size", 32, "did you mean `batch.labeled=32` or `batch.unlabeled=32`? "),
        ("batch", "32", "did you mean `batch.labeled=32` or `batch.unlabeled=32`? "),
        ("Steps", 4, "did you mean `steps=4`? "),
        ("data-root", "x", "did you mean `data_root=x`? "),
        ("name", "sgd", "did you mean `optimizer.name=sgd` or `schedule.name=sgd`? "),
        ("nesterov", near.NO_VALUE, "did you mean `optimizer.nesterov=true`? "),
        ("momentum", near.NO_VALUE, "did you mean `optimizer.momentum=VALUE`? "),
        ("nesterov", False, "did you mean `optimizer.nesterov=false`? "),
        ("clip", None, "did you mean `optimizer.clip=null`? "),
        ("betas", (0.9, 0.99), "did you mean `optimizer.betas`? "),
        ("training", {"lr": 3}, "did you mean `optimizer.lr=3`? "),
        ("fp16", True, "did you mean `precision=bf16`? "),
        ("amp", False, "did you mean `precision=fp32`? "),
        ("gpu", 0, "did you mean `device=cuda:0`? "),
        ("cuda", True, "did you mean `device=cuda`? "),
        ("gpu", "cpu", "did you mean `device=cpu`? "),
        ("weight", 3, "did you mean `algorithms.meanteacher.weight=3`? "),
        ("ema_decay", 0.9, "did you mean `algorithms.meanteacher.decay=0.9` or `eval_ema=0.9`? "),
        (
            "noise",
            3,
            "did you mean `nets.convnet13.noise=3` (with `net=convnet13`) or `datasets.moons.noise=3` (with `dataset=moons`)? ",
        ),
        ("rotate", 3, "did you mean `views.weak.affine.rotate=3`? "),
        (
            "n_sigma",
            3,
            "did you mean `algorithms.softmatch.n_sigma=3` (with `alg=softmatch`)? ",
        ),
        ("fixmatch", {"threshold": 0.8}, "did you mean `algorithms.fixmatch.threshold=0.8`? "),
        ("fixmatch.threshold", "0.8", "did you mean `algorithms.fixmatch.threshold=0.8`? "),
        ("smallnet.drop_rate", 0.1, "did you mean `nets.smallnet.drop_rate=0.1`? "),
        ("fixmatch", {"thresh": 0.8}, ""),
        ("resume", True, "none is needed: the same call goes on; "),
        ("xyzzy", 3, ""),
    ],
)
def test_a_word_and_what_it_means(word, value, said):
    assert near.setting(word, value, {}) == said


def test_what_was_chosen_comes_first():
    for word in ("threshold", "p_cutoff"):
        assert near.setting(word, 0.8, {"alg": "fixmatch"}) == "did you mean `algorithms.fixmatch.threshold=0.8`? "
    assert near.setting("weight", 3, {"alg": "Pi-Model"}) == "did you mean `algorithms.pimodel.weight=3`? "
    assert near.setting("pretrained", True, {"net": "resnet50"}) == "did you mean `nets.resnet50.pretrained=true`? "
    assert near.setting("rotate", 3, {"views": {"strong": {"affine": {}}}}) == "did you mean `views.strong.affine.rotate=3`? "
    assert near.setting("ema", 0.9, {"alg": "supervised"}) == (
        "did you mean `eval_ema=0.9` or `algorithms.ict.decay=0.9` (with `alg=ict`) or "
        "`algorithms.meanteacher.decay=0.9` (with `alg=meanteacher`)? "
    )
    assert "(with `alg=meanteacher`)" in near.setting("decay", 0.9), "where nothing is at hand, nothing is chosen"
    assert near.setting("weight", 3, {"alg": "no such", "views": 7, "net": None}), "settings at hand may be wrong"


def test_every_word_leads_to_a_setting_that_there_is():
    """A table of synonyms must not outlive what it names."""
    for words, targets in near.MEANT.items():
        for word in words.split():
            said = near.setting(word, near.NO_VALUE, {})
            assert said.startswith("did you mean `") and said.count("`") >= 2 * len(targets), word
    spelt = [word for group in (*near.MEANT, *near.ELSEWHERE) for word in group.split()]
    assert len({*spelt}) == len(spelt)


def test_every_setting_and_option_is_found_by_its_last_part():
    for key in recipes.flatten(config.plain(RunSettings())):
        if not key.startswith(("views", "datasets", "nets", "algorithms")):
            assert f"`{key}=" in near.setting(key.replace(".", "-"), 3, {}), key
    for section, registry in (("algorithms", ALGORITHMS), ("nets", NETS), ("datasets", DATASETS)):
        field = {"algorithms": "alg", "nets": "net", "datasets": "dataset"}[section]
        for name in registry.names():
            for option in registry.resolve(name).options:
                own = {f.name for f in dataclasses.fields(RunSettings)}
                shown = near._of_name(option, {field: name})
                assert option in own or any(place.key == f"{section}.{name}.{option}" for place in shown), (name, option)


def test_from_python_and_in_a_recipe(tmp_path):
    with pytest.raises(InputError, match=r"there is no setting 'lr'; did you mean `optimizer\.lr=0\.1`\? settings: alg, "):
        recipe("digits", lr=0.1)
    with pytest.raises(
        InputError, match="there is no setting 'max_epochs'; a run's length is `steps`; for passes over all images"
    ):
        recipe("digits", max_epochs=10)
    (tmp_path / "mine.yaml").write_text("model: resnet18\n")
    with pytest.raises(InputError, match="there is no setting 'model'; did you mean `net=resnet18`"):
        recipe("digits", tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("weigth_decay", "did you mean `optimizer.weight_decay=3` or `optimizer.layer_decay=3`? "),
        ("learing_rate", "did you mean `optimizer.lr=3`? "),
        ("decai", "did you mean `algorithms.meanteacher.decay=3`? "),
        ("xyzzy", ""),
    ],
)
def test_misspelt(word, said):
    assert near.misspelt(word, 3, {}) == said


def test_a_name_alone():
    assert near.name("Mean-Teacher") == "did you mean `alg=meanteacher`? "
    assert near.name("wrn16_2") == "did you mean `net=wrn16_2`? " and near.name("cifar-10") == "did you mean `dataset=cifar10`? "
    assert near.name("xyzzy") == ""
