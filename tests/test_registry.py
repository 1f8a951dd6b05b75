import subprocess
import sys

import pytest

from ssl_zoo import ALGORITHMS, NETS, AlgorithmBase, InputError
from ssl_zoo.registry import Registry


@pytest.fixture
def things() -> Registry:
    registry = Registry("thing")

    @registry.register("mean-teacher", "mt")
    def mean_teacher(*, weight: float = 1.0):
        """Makes a mean teacher.

        More.
        """
        return ("mean teacher", weight)

    @registry.register_family("wrn{depth}_{width}", r"wrn[-_]?(?P<depth>\d+)[-_](?P<width>\d+)", example="wrn28_2")
    def wrn(k, *, depth: int, width: int, drop: float = 0.0):
        return ("wrn", k, depth, width, drop)

    return registry


@pytest.mark.parametrize("name", ["mean-teacher", "MeanTeacher", "meanteacher", "MEAN_TEACHER", "mt", "M-T"])
def test_lookup_ignores_case_hyphen_and_underscore(things, name):
    assert things.create(name, weight=2.0) == ("mean teacher", 2.0)
    assert things.resolve(name).name == "mean-teacher"


@pytest.mark.parametrize("name", ["meanteacher", "Mean_Teacher", "mt"])
def test_a_duplicate_raises_in_any_spelling_and_registers_nothing(things, name):
    with pytest.raises(InputError, match="registered already"):
        things.register("new-name", name)(lambda: None)
    assert "new-name" not in things.names()


@pytest.mark.parametrize("name", ["wrn40_10", "WRN-40-10", "wrn_40_10"])
def test_family_reads_its_numbers_from_the_name(things, name):
    assert things.create(name, 5, drop=0.5) == ("wrn", 5, 40, 10, 0.5)
    assert things.resolve(name).name == "wrn40_10"
    assert list(things.resolve(name).options) == ["drop"]


def test_a_duplicate_family_and_a_wrong_example_raise(things):
    with pytest.raises(InputError, match="registered already"):
        things.register_family("wrn{depth}_{width}", "x", "x")(lambda: None)
    with pytest.raises(InputError, match="example 'b'"):
        things.register_family("other", "a", "b")(lambda: None)


def test_a_name_of_a_family_is_taken_and_a_familys_example_must_be_free(things):
    with pytest.raises(InputError, match="'WRN-28-2' is registered already, as 'wrn28_2'"):
        things.register("WRN-28-2")(lambda: None)
    with pytest.raises(InputError, match="'mt' is registered already"):
        things.register_family("m{x}", "m(?P<x>.)", "mt")(lambda: None)


def test_near_misses_know_aliases(things):
    things.register("te", "temporal-ensembling")(lambda: None)
    with pytest.raises(InputError, match="did you mean 'temporalensembling'"):
        things.resolve("temporal-ensemblin")


def test_unknown_name_says_near_misses_then_all(things):
    with pytest.raises(InputError) as error:
        things.resolve("mean-taecher")
    message = str(error.value)
    assert message.index("did you mean 'mean-teacher'") < message.index("known: mean-teacher, wrn{depth}_{width}")
    with pytest.raises(InputError) as error:
        things.resolve("zzz")
    assert "did you mean" not in str(error.value)


def test_unknown_option_says_near_miss(things):
    with pytest.raises(TypeError, match="mean-teacher has no option 'weigth'; did you mean 'weight'"):
        things.create("mt", weigth=1)


def test_an_option_carried_by_the_name_cannot_be_given_again(things):
    with pytest.raises(TypeError, match="has no option 'depth'"):
        things.create("wrn28_2", 5, depth=3)


def test_names_and_summaries(things):
    assert things.names() == ["mean-teacher", "wrn28_2"]
    assert {e.name: e.summary for e in things.entries()} == {"mean-teacher": "Makes a mean teacher.", "wrn{depth}_{width}": ""}


def test_the_house_is_registered():
    assert {"supervised", "pimodel", "tempens", "meanteacher"} <= set(ALGORITHMS.names())
    for name, alias in {"pi-model": "pimodel", "temporal-ensembling": "tempens", "Mean-Teacher": "meanteacher"}.items():
        assert ALGORITHMS.resolve(name).name == alias
    assert {"wrn28_2", "convnet13", "smallnet"} <= set(NETS.names())


def test_a_method_of_ones_own(net, facts):
    class Mine(AlgorithmBase):
        pass

    registry = Registry("algorithm")
    assert registry.register("my-method")(Mine) is Mine
    assert isinstance(registry.create("MyMethod", net=net, facts=facts), Mine)


def test_a_name_of_the_package_is_taken_for_a_script_that_asked_for_no_name_yet():
    """The package's own are registered at the first look, and this is one."""
    code = """
from ssl_zoo.registry import ALGORITHMS, InputError
try:
    ALGORITHMS.register("Mean-Teacher")(type("Mine", (), {}))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "algorithm 'Mean-Teacher' is registered already, as 'meanteacher' by ssl_zoo.algorithms.meanteacher" in done.stdout
