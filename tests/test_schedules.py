import math

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.schedules import RAMPS, lr_factor, ramp
from ssl_zoo.settings import ScheduleSettings


@pytest.mark.parametrize(
    ("form", "start", "half"),
    [("sigmoid", math.exp(-5), math.exp(-1.25)), ("linear", 0, 0.5), ("cosine", 0, 0.5), ("constant", 1, 1)],
)
def test_ramp_at_its_start_half_end_and_beyond(form, start, half):
    values = [ramp(torch.tensor(p), form, 0.4).item() for p in (0.0, 0.2, 0.4, 0.9)]
    assert values == pytest.approx([start, half, 1, 1], abs=1e-6)


@pytest.mark.parametrize("form", RAMPS)
def test_ramp_of_no_length_is_one_and_a_tensor_of_the_same_kind(form):
    value = ramp(torch.tensor(0.0), form, 0)
    assert value == 1 and value.dtype == torch.float32 and value.ndim == 0


def test_unknown_ramp():
    with pytest.raises(InputError, match="'stairs'"):
        ramp(torch.tensor(0.0), "stairs", 0.1)


def test_lr_factors_at_known_points():
    assert lr_factor(0.3, "constant") == 1
    assert lr_factor(0, "cosine") == 1 and lr_factor(0.5, "cosine") == pytest.approx(0.5)
    assert lr_factor(1, "cosine") == pytest.approx(0)
    assert lr_factor(1, "cosine", cosine_fraction=0.5) == pytest.approx(0.5)
    assert lr_factor(1, "cosine7_16") == pytest.approx(math.cos(7 * math.pi / 16))
    assert [lr_factor(p, "steps", milestones=(0.5, 0.75), gamma=0.1) for p in (0.49, 0.5, 0.75)] == pytest.approx([1, 0.1, 0.01])


def test_lr_factors_of_the_parts_of_a_run():
    parts = {"milestones": (0.1, 0.5), "factors": (0.01, 1, 0.2)}
    found = [lr_factor(p, "steps", **parts, gamma=0.7) for p in (0, 0.0999, 0.1, 0.4999, 0.5, 0.9999)]
    assert found == [0.01, 0.01, 1, 1, 0.2, 0.2]
    assert lr_factor(0.05, "steps", **parts, warmup=0.1) == pytest.approx(0.005), "a warm-up is multiplied in"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"milestones": (0.5,), "factors": (1, 0.1, 0.2)},
            "schedule.factors has 3 and schedule.milestones 1; give one",
        ),
        ({"milestones": (0.5, 0.2), "factors": (1, 2, 3)}, "schedule.milestones must rise"),
        ({"milestones": (0.5,), "factors": (1, -1)}, "schedule.factors = -1"),
    ],
)
def test_factors_that_fit_no_milestones(given, says):
    with pytest.raises(InputError, match=says):
        ScheduleSettings(name="steps", **given)
    ScheduleSettings(name="steps", milestones=(0.5, 0.2))


def test_lr_warm_up_and_ramp_down():
    assert lr_factor(0, "constant", warmup=0.2) == 0
    assert lr_factor(0.1, "constant", warmup=0.2) == pytest.approx(0.5)
    assert lr_factor(0.2, "constant", warmup=0.2) == 1
    assert lr_factor(0.1, "constant", warmup=0.2, warmup_form="sigmoid") == pytest.approx(math.exp(-1.25))
    assert lr_factor(0.8, "constant", ramp_down=0.2) == 1
    assert lr_factor(0.9, "constant", ramp_down=0.2) == pytest.approx(math.exp(-12.5 / 4))
    assert lr_factor(0.1, "cosine", warmup=0.2) == pytest.approx(0.5 * (1 + math.cos(0.1 * math.pi)) / 2)


def test_unknown_lr_schedule():
    with pytest.raises(InputError, match="'cosin'"):
        lr_factor(0, "cosin")
