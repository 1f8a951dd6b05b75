"""From an estimator's parameters to settings."""

import re

import numpy as np
import pytest

import ssl_zoo
from ssl_zoo import InputError, SSLClassifier
from ssl_zoo.estimator.choices import seed_of, settings_of


def made(shape=(8, 8, 1), features=False, size=None, **parameters):
    return settings_of(SSLClassifier(**parameters).get_params(), shape, features, size)


@pytest.mark.parametrize(
    ("shape", "features", "net", "recipe"),
    [
        ((1, 1, 4), True, "mlp", "features"),
        ((8, 8, 1), False, "smallnet", "digits"),
        ((16, 16, 3), False, "smallnet", "digits"),
        ((16, 17, 3), False, "wrn28_2", "digits"),
        ((32, 32, 3), False, "wrn28_2", "digits"),
        ((64, 64, 1), False, "wrn28_2", "digits"),
        ((64, 63, 3), False, "wrn28_2", "digits"),
        ((64, 64, 3), False, "torchvision:mobilenet_v3_small", "photos"),
    ],
)
def test_net_recipe_and_steps_of_themselves(shape, features, net, recipe):
    settings, of = made(shape, features), ssl_zoo.recipe(recipe)
    assert (settings.net, settings.steps, settings.labels, settings.dataset) == (net, 600, "all", "arrays")
    assert settings.epochs is settings.minutes is None and settings.alg == "meanteacher"
    assert settings.views == of.views and settings.optimizer == of.optimizer and settings.batch == of.batch
    assert made(shape, features, recipe=None) == settings


def test_a_recipe_that_is_named_brings_its_net_and_length():
    settings = made(recipe="cifar10", method="pi-model")
    assert (settings.net, settings.steps, settings.alg) == ("wrn28_2", 20480, "pimodel")
    assert made(recipe=["cifar10", "moons"]).net == "mlp"
    assert made(recipe="cifar10", net="smallnet", steps=3).net == "smallnet"


def test_lengths():
    assert made(steps=7).steps == 7
    assert made(minutes=3).minutes == 3
    assert made((64, 64, 3), settings={"epochs": 2}).epochs == 2
    with pytest.raises(InputError, match="steps and minutes are both given"):
        made(steps=3, minutes=3)


def test_settings_by_dotted_key():
    settings = made(settings={"optimizer.lr": np.float64(0.5), "algorithms.mean-teacher.weight": 7, "threads": 1})
    assert settings.optimizer.lr == 0.5 and settings.options["weight"] == 7 and settings.threads == 1


def test_the_size_of_files_is_known_to_the_net():
    assert made(size=(8, 9)).datasets == {"arrays": {"image_size": (8, 9)}}
    assert made().datasets == {"arrays": {"image_size": None}}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"method": "meanteecher"}, "did you mean 'meanteacher'?"),
        ({"net": "smalnet"}, "no net is called 'smalnet'; did you mean 'small"),
        ({"net": None}, "net = None is not of the type str"),
        ({"recipe": "digts"}, "did you mean 'digits'?"),
        ({"recipe": 3}, "a int is no name of a recipe"),
        ({"steps": 0}, "steps = 0 is out of range"),
        ({"steps": 2.5}, "steps = 2.5 is not of the type int"),
        ({"settings": 3}, "settings = 3 is no mapping"),
        ({"settings": {3: 3}}, "is no mapping"),
        ({"settings": {"optimizer.lrr": 3}}, "optimizer has no option 'lrr'; did you mean 'lr'?"),
        ({"settings": {"learning_rate": 3}}, "there is no setting 'learning_rate'; did you mean `optimizer.lr=3`?"),
        ({"settings": {"alg": "pimodel"}}, "`settings` has 'alg', which is the parameter `method`"),
        ({"settings": {"seed": 1}}, "`settings` has 'seed', which is the parameter `random_state`"),
        ({"settings": {"labels": 20}}, "`settings` has 'labels', which X and y say here"),
        ({"settings": {"datasets.arrays.image_size": 8}}, "which X and y say here"),
    ],
)
def test_wrong_parameters_name_the_near_miss(parameters, said):
    with pytest.raises(InputError, match=re.escape(said)):
        made(**parameters)


def test_seeds():
    assert seed_of(7) == 7 and seed_of(np.int64(7)) == 7 and made(random_state=7).seed == 7
    one, other = (np.random.RandomState(0) for _ in "ab")
    assert seed_of(one) == seed_of(other) and seed_of(one) != seed_of(np.random.RandomState(0))
    np.random.seed(3)
    first = seed_of(None)
    np.random.seed(3)
    assert seed_of(None) == first
    with pytest.raises(ValueError, match="seed"):
        seed_of("three")
