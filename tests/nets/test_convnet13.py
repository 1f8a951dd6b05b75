"""The 13-layer net: exact sizes, its noise, its two normalisations, and small images."""

import pytest
import torch
from torch import nn

from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import InputError
from ssl_zoo.nets.convnet13 import ConvNet13, GaussianNoise, MeanOnlyBatchNorm
from ssl_zoo.registry import NETS


@pytest.mark.parametrize(
    ("options", "num_classes", "count"),
    [
        ({}, 10, 3_121_802),
        ({}, 100, 3_133_412),
        ({"conv_bias": True}, 10, 3_123_850),
        ({"conv_bias": True}, 100, 3_135_460),
        ({"norm": "weight"}, 10, 3_121_812),
        ({"norm": "weight"}, 100, 3_133_512),
    ],
)
def test_parameter_counts(options, num_classes, count):
    assert sum(p.numel() for p in ConvNet13(num_classes, 3, (32, 32), **options).parameters()) == count


@pytest.mark.parametrize("spelling", ["ConvNet-13", "conv13", "cnn13", "cnn_13"])
def test_spellings(spelling):
    assert NETS.resolve(spelling).name == "convnet13"


@pytest.mark.parametrize(
    ("size", "expected"), [((32, 32), (6, 6)), ((12, 12), (1, 1)), ((11, 32), (2, 8)), ((8, 8), (2, 2)), ((4, 4), (1, 1))]
)
def test_the_unpadded_layer_is_padded_where_nothing_would_be_left(size, expected):
    with torch.device("meta"):
        assert ConvNet13(10, 3, size).forward_features(torch.empty(2, 3, *size)).shape == (2, 128, *expected)


def test_images_that_are_too_small():
    with pytest.raises(InputError, match="3x8 is too small"):
        ConvNet13(10, 3, (3, 8))


def test_noise_is_of_its_deviation_and_in_training_only():
    torch.manual_seed(0)
    noise, x = GaussianNoise(0.15), torch.zeros(100_000)
    assert noise(x).std().item() == pytest.approx(0.15, rel=0.02)
    assert noise(x).mean().item() == pytest.approx(0, abs=0.002)
    assert noise.eval()(x) is x


def test_without_noise_and_dropout_training_is_deterministic():
    net, x = ConvNet13(10, 3, (8, 8), noise=0, drop_rate=0), torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(net(x), net(x), rtol=0, atol=0)


def test_options_reach_the_layers():
    net = ConvNet13(10, 3, (8, 8), noise=0.3, drop_rate=0.2, bn_momentum=0.001, leaky_slope=0.3)
    keys = ("std", "p", "momentum", "negative_slope")
    found = {(type(m).__name__, getattr(m, key)) for m in net.modules() for key in keys if hasattr(m, key)}
    assert found == {("GaussianNoise", 0.3), ("Dropout", 0.2), ("BatchNorm2d", 0.001), ("LeakyReLU", 0.3)}


def test_mean_only_batch_norm_by_hand():
    norm = MeanOnlyBatchNorm(2, momentum=0.5)
    nn.init.constant_(norm.bias, 10)
    x = torch.tensor([[1.0, 0.0], [3.0, 8.0]])  # means 2, 4
    assert norm(x).tolist() == [[9, 6], [11, 14]]
    assert norm.running_mean.tolist() == [1, 2]
    assert norm.eval()(x).tolist() == [[10, 8], [12, 16]]
    assert norm.running_mean.tolist() == [1, 2]


def test_mean_only_batch_norm_is_batch_norm_without_the_division():
    torch.manual_seed(0)
    ours, theirs, x = MeanOnlyBatchNorm(3), nn.BatchNorm2d(3), torch.randn(4, 3, 5, 6) + 7
    std = x.var(dim=(0, 2, 3), unbiased=False, keepdim=True).add(theirs.eps).sqrt()
    torch.testing.assert_close(ours(x), theirs(x) * std, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)


def test_mean_only_batch_norm_can_be_frozen():
    norm, x = MeanOnlyBatchNorm(3), torch.randn(4, 3, 5, 6) + 7
    with frozen_stats(norm):
        frozen = norm(x)
    assert not norm.running_mean.any()
    torch.testing.assert_close(frozen, norm(x), rtol=0, atol=0)  # the batch's mean is used either way
    assert norm.running_mean.all()


def test_mean_only_batch_norm_averages_half_precision_in_full():
    x = torch.full((4096, 1), 1.0, dtype=torch.bfloat16)
    norm = MeanOnlyBatchNorm(1, momentum=1.0)
    assert norm(x).dtype == torch.bfloat16
    assert norm.running_mean.dtype == torch.float32
    assert norm.running_mean.item() == 1.0


def test_weight_norm_does_not_see_the_scale_of_its_direction():
    net, x = ConvNet13(10, 3, (8, 8), norm="weight").eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = net(x)
        for key, value in net.named_parameters():
            if key.endswith("original1"):  # v, of w = g v / |v|
                value.mul_(3)
        torch.testing.assert_close(net(x), before, rtol=1e-4, atol=1e-6)
