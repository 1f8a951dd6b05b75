"""What `--grid` lists, and what cells are called by it."""

import pytest

import ssl_zoo
from ssl_zoo import InputError
from ssl_zoo.sweeps.axes import MISSING, Axis, check_apart, named_values, read_axis, value_of


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("optimizer.lr=0.01,3e-2", "optimizer.lr", (0.01, 0.03)),
        (" optimizer.lr = 1 , 1 ,2", "optimizer.lr", (1, 2)),
        ("optimizer.betas=[0.9,0.99],[0.9,0.999]", "optimizer.betas", ([0.9, 0.99], [0.9, 0.999])),
        ("schedule.milestones=[a,b]", "schedule.milestones", (["a", "b"],)),
        ("views.weak={},{flip: {}, noise: {std: 0.1}}", "views.weak", ({}, {"flip": {}, "noise": {"std": 0.1}})),
        ("split_file='a,b.json',\"c,d\",e", "split_file", ("a,b.json", "c,d", "e")),
        ("eval_ema=null,0.9", "eval_ema", (None, 0.9)),
        ("net=torchvision:resnet18,mlp", "net", ("torchvision:resnet18", "mlp")),
        ("algorithms.mean-teacher.weight=true,1", "algorithms.meanteacher.weight", (True, 1)),
    ],
)
def test_values_are_a_list_of_yaml(text, key, values):
    axis = read_axis(text)
    assert (axis.key, axis.values) == (key, values) and list(map(type, axis.values)) == list(map(type, values))
    again = [ssl_zoo.recipes.parse_yaml(text.partition("=")[2], "") for text in axis.assignments()]
    assert tuple(again) == values, "each is an assignment of that value"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.lr", "--grid wants KEY=V1,V2"),
        ("=1,2", "--grid wants KEY=V1,V2"),
        ("steps=", "--grid steps has no value"),
        ("steps=1,,2", "what --grid steps lists is not YAML"),
        ("steps=[1", "what --grid steps lists is not YAML"),
        ("split_file=2026-01-01", "--grid split_file has a value that no setting takes"),
        ("algorithms.meenteacher.weight=1", "did you mean 'meanteacher'"),
    ],
)
def test_what_is_no_axis(text, message):
    with pytest.raises(InputError, match=message):
        read_axis(text)


def test_axes_that_would_undo_each_other():
    def check(*keys):
        check_apart([Axis(key, (1,)) for key in keys])

    check("optimizer.lr", "optimizer.lr_more", "optimizer.name", "batch")
    with pytest.raises(InputError, match="--grid steps is given twice; give all its values in one"):
        check("steps", "batch", "steps")
    for pair in (("views.weak", "views.weak.noise.std"), ("views.weak.noise.std", "views.weak")):
        with pytest.raises(InputError, match=f"--grid {pair[1]} and --grid {pair[0]} set the same"):
            check(*pair)


def settings(alg="meanteacher", **more):
    return ssl_zoo.recipe("digits", alg=alg, net="smallnet", **more)


def test_a_value_is_of_the_settings_that_have_it():
    made = settings(**{"optimizer.lr": 1, "views.weak": {"noise": {"std": 0.5}}})
    assert value_of(made, "optimizer.lr") == 1 and value_of(made, "views.weak") == {"noise": {"std": 0.5}}
    assert value_of(made, "views.weak.noise.std") == 0.5 and value_of(made, "eval_ema") is None
    for key in ("algorithms.pimodel.weight", "nets.wrn28_2.drop_rate", "views.weak.noise.std.more", "nothing"):
        assert value_of(made, key) is MISSING


def test_names_are_of_the_resolved_value_and_safe():
    def name(*keys, alg="meanteacher", **more):
        return list(named_values(settings(alg, **more), keys))

    weight, lr = "algorithms.meanteacher.weight", "optimizer.lr"
    for spelt in (10, 10.0):
        assert name(lr, weight, **{weight: spelt, lr: 1e-5}) == ["weight=10", "optimizer.lr=1e-05"], "in one order"
    assert name(weight, alg="supervised") == [], "another method's option names nothing"
    assert name("eval_ema", "compile", "datasets.digits.test_size") == [
        "compile=false",
        "datasets.digits.test_size=500",
        "eval_ema=null",
    ]
    wide = ssl_zoo.recipe("digits", net="wrn28_2", **{"nets.wrn28_2.drop_rate": 0.5})
    assert list(named_values(wide, ["nets.wrn28_2.drop_rate"])) == ["nets.drop_rate=0.5"], "whose net is named already"
    assert name(lr, **{lr: 0.012345678901}) == ["optimizer.lr=0.012345678901"], "no digit is lost"
    noise = [name("views.weak", **{"views.weak": {"noise": {"std": std}}}) for std in (0.1, 0.2)]
    flat = [part for found in noise for part in found]
    assert len({*flat}) == 2 and all(len(part) < 50 and not {*part} & {*"/ :{}\"'"} for part in flat)
