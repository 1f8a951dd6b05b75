"""Names of nets as other toolkits spell them."""

import pytest

from ssl_zoo import NETS, InputError


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("wideresnet28x2", "wrn28_2"),
        ("WideResNet-28-10", "wrn28_10"),
        ("wide_resnet_37_2", "wrn37_2"),
        ("wideresnet", "wrn28_2"),
        ("vit_b_16", "torchvision:vit_b_16"),
        ("ViT-B-16", "torchvision:vit_b_16"),
        ("efficientnet-b0", "torchvision:efficientnet_b0"),
        ("wide_resnet50_2", "torchvision:wide_resnet50_2"),  # a ResNet with bottlenecks, no WRN of depth 50
    ],
)
def test_the_name_that_is_meant_is_said_and_is_known(name, meant):
    with pytest.raises(InputError, match=f"no net is called '{name}'; did you mean '{meant}'[?] known: "):
        NETS.resolve(name)
    assert NETS.resolve(meant).name == meant


@pytest.mark.parametrize("name", ["resnet50", "ResNet-50", "WRN-28-2", "wrn_28_2"])
def test_what_is_known_is_not_asked_back(name):
    assert NETS.resolve(name).name in ("resnet50", "wrn28_2")


def test_what_nobody_knows():
    with pytest.raises(InputError, match="no net is called 'wide_resnet51_2'") as error:
        NETS.resolve("wide_resnet51_2")
    assert "wrn51" not in str(error.value), "of no depth 51 there is one"
    with pytest.raises(InputError, match="no net is called 'xyzzy'; known: "):
        NETS.resolve("xyzzy")
    with pytest.raises(InputError, match="no net is called 'resnet20'; did you mean 'resnet18'"):
        NETS.resolve("resnet20")
