"""torchvision's classification models as nets: `torchvision:vgg11_bn`, and ResNets with a stem for small images.

torchvision is imported when a net is built and not before: listing the names stays quick.
"""

import math
import os
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError, one_of
from ssl_zoo.nets.foreign import Weights, is_path, load_body, patience, set_all, try_shapes, unfit
from ssl_zoo.registry import NETS, near_miss

# torchvision states a licence for few of its weights; that of its code need not be theirs
LICENSE = "not stated by torchvision, whose code is BSD-3-Clause"


class TorchvisionNet(nn.Module):
    """A torchvision model without its last layer, and that layer.

    Args:
        body: Images (B, C, H, W) to pooled features (B, D).
        head: The linear layer, (B, D) to logits (B, K).
    """

    def __init__(self, body: nn.Module, head: nn.Linear):
        super().__init__()
        self.body, self.head, self.num_features = body, head, head.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Pooled features (B, D) of images (B, C, H, W)."""
        return self.body(x)

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, K) of features (B, D), or the features."""
        return f if pre_logits else self.head(f)


@NETS.register_family("torchvision:{name}", r"torchvision:(?P<name>[a-z0-9_-]+)", example="torchvision:mobilenet_v3_small")
def torchvision_net(
    num_classes: int,
    in_chans: int,
    image_size: tuple[int, int],
    *,
    name: str,
    pretrained: bool | str = False,
    bn_momentum: float | None = None,
    drop_rate: float | None = None,
) -> TorchvisionNet:
    """Any classification model of torchvision, by its name there.

    Without auxiliary heads; squeezenet without the ReLU on its logits.

    Args:
        name: From the name: torchvision's.
        pretrained: Start from torchvision's default weights (ImageNet), downloaded if need be (true), or from those in
            a file, a state_dict (its path). The last layer is new in any case. auto: where torchvision's are at hand or
            can be downloaded; a run settles that when it begins.
        bn_momentum: Weight of the newest batch in the running statistics; torchvision's if not given.
        drop_rate: Of every dropout layer; torchvision's if not given.

    Returns:
        Images (B, C, H, W) -> logits (B, K).

    Raises:
        InputError: No such model, it cannot take such images, it has no such option, or its weights cannot be had.
    """
    pretrained = at_hand(name)[0] if pretrained == "auto" else pretrained
    body = _build(name, num_classes, image_size, pretrained is True)
    if is_path(pretrained):
        load_body(body, _last(body, name)[0], str(pretrained), name)
    if in_chans != 3:
        _set_channels(body, name, in_chans, bool(pretrained))
    set_all(body, name, "bn_momentum", bn_momentum, nn.modules.batchnorm._BatchNorm, "momentum")
    set_all(body, name, "drop_rate", drop_rate, nn.Dropout, "p")
    return _finish(body, name, num_classes, in_chans, image_size, bool(pretrained))


@NETS.register_family("resnet{depth}", r"resnet[-_]?(?P<depth>18|34|50|101|152)", example="resnet18")
def resnet(
    num_classes: int,
    in_chans: int,
    image_size: tuple[int, int],
    *,
    depth: int,
    stem: Literal["imagenet", "small"] = "imagenet",
    pretrained: bool | str = False,
    bn_momentum: float | None = None,
) -> TorchvisionNet:
    """ResNet of 18, 34, 50, 101 or 152 layers, by torchvision, with a stem for large or for small images.

    He et al., CVPR 2016, arXiv:1512.03385. At 3 channels and 10 classes resnet18 has 11,181,642 parameters (11,173,962
    with the small stem), resnet50 23,528,522 (23,520,842).

    Args:
        depth: From the name: layers.
        stem: imagenet: a 7x7 convolution of stride 2 and a max pool. small: a 3x3 convolution of stride 1 and no pool.
        pretrained: Start from torchvision's default weights (ImageNet), downloaded if need be (true), or from those in
            a file, a state_dict (its path). The last layer is new in any case. auto: where torchvision's are at hand or
            can be downloaded; a run settles that when it begins.
        bn_momentum: Weight of the newest batch in the running statistics; torchvision's 0.1 if not given.

    Returns:
        Images (B, C, H, W) -> logits (B, K).

    Raises:
        InputError: An option is out of range, or weights are wanted for the small stem or cannot be had.
    """
    name = f"resnet{depth}"
    pretrained = stem != "small" and at_hand(name)[0] if pretrained == "auto" else pretrained
    if one_of("stem", stem, "imagenet", "small") == "small" and pretrained is True:
        raise InputError(f"{name}: there are no pretrained weights for stem=small; leave out pretrained, or use stem=imagenet")
    body = _build(name, num_classes, image_size, pretrained is True)
    if stem == "small":
        body.conv1 = nn.Conv2d(in_chans, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's other convolutions
        body.maxpool = nn.Identity()
    if is_path(pretrained):
        load_body(body, "fc", str(pretrained), name)
    if stem != "small" and in_chans != 3:
        _set_channels(body, name, in_chans, bool(pretrained))
    set_all(body, name, "bn_momentum", bn_momentum, nn.modules.batchnorm._BatchNorm, "momentum")
    return _finish(body, name, num_classes, in_chans, image_size, bool(pretrained))


def settle(options: Mapping[str, Any], *, name: str = "", depth: int = 0) -> tuple[dict[str, Any], str]:
    """Return a net's options with pretrained as it can be had on this machine, and a line if that is a disappointment.

    Args:
        options: Of the net.
        name: From the net's name, torchvision's.
        depth: Likewise, of a ResNet.
    """
    if options.get("pretrained") != "auto":
        return {**options}, ""
    if options.get("stem") == "small":
        return {**options, "pretrained": False}, ""
    found, why = at_hand(name or f"resnet{depth}")
    return {**options, "pretrained": found}, why


def weights(options: Mapping[str, Any], *, name: str = "", depth: int = 0) -> Weights | None:
    """Return what is known of a net's pretrained weights, of those in a file as if torchvision's; None: it has none.

    Args:
        options: Of the net.
        name: From the net's name, torchvision's.
        depth: Likewise, of a ResNet.
    """
    import torchvision

    name = name or f"resnet{depth}"
    if not options.get("pretrained") or name not in torchvision.models.list_models(module=torchvision.models):
        return None
    found = torchvision.models.get_model_weights(name).DEFAULT
    made, path = found.transforms(), options["pretrained"]
    license = LICENSE if "license" not in found.meta else str(found.meta["license"])
    size = tuple((made.crop_size * 2)[:2])  # a side, or two of them
    images = (tuple(made.mean), tuple(made.std), size, made.interpolation.value)
    if is_path(path):
        return Weights(str(path), "not known", *images, like=f"torchvision {found}")
    return Weights(f"torchvision {found}", license, *images)


for target in (torchvision_net, resnet):
    target.settle, target.weights = settle, weights  # type: ignore[attr-defined]


def at_hand(name: str) -> tuple[bool, str]:
    """Return whether a model's pretrained weights are there, after a try to fetch them, and if not, a line about it."""
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        return False, ""  # building it says so
    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        with patience():
            weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a download that was cut short
        where = f"save {weights.url} as {_file_of(weights)} to begin from them"
        return False, f"pretrained weights of {name} cannot be had ({error}), so it begins from random ones; {where}"
    return True, ""


def _file_of(weights: Any) -> str:
    return os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(weights.url))


def _build(name: str, num_classes: int, image_size: tuple[int, int], pretrained: bool) -> nn.Module:
    """torchvision's model: with its weights and 1000 classes, or fresh with K."""
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"torchvision has no model '{name}'; {near_miss(name, known)}known: {', '.join(known)}")
    options: dict[str, Any] = {} if pretrained else {"num_classes": num_classes}
    if name.startswith("vit_"):
        options["image_size"] = image_size[0]  # one that is not square fails in the trial
    elif name.startswith("maxvit"):
        options["input_size"] = image_size
    elif name in ("googlenet", "inception_v3") and not pretrained:
        options["init_weights"] = True  # the default, but unsaid it warns
    if name == "inception_v3" or (name == "googlenet" and not pretrained):
        options["aux_logits"] = False  # the pretrained googlenet refuses the word, and does so unasked
    weights = torchvision.models.get_model_weights(name).DEFAULT if pretrained else None
    try:
        return torchvision.models.get_model(name, weights=weights, **options)
    except OSError as error:  # the download
        raise InputError(f"{name}: cannot download its weights ({error}); save {weights.url} as {_file_of(weights)}") from error
    except (AssertionError, ValueError) as error:  # a transformer and an image size that do not go together
        raise unfit(name, image_size, error) from error


def _set_channels(body: nn.Module, name: str, in_chans: int, pretrained: bool) -> None:
    """Put a first convolution for another number of channels into the model."""
    if pretrained and (in_chans != 1 or getattr(body, "transform_input", False)):
        allowed = "3" if getattr(body, "transform_input", False) else "1 or 3"
        raise InputError(f"{name}: pretrained weights fit {allowed} channels, not {in_chans}; convert the images or leave it out")
    path, old = next((path, module) for path, module in body.named_modules() if isinstance(module, nn.Conv2d))
    bias = old.bias is not None
    new = nn.Conv2d(in_chans, old.out_channels, old.kernel_size, old.stride, old.padding, old.dilation, bias=bias)
    with torch.no_grad():
        if pretrained:
            new.weight.copy_(old.weight.sum(dim=1, keepdim=True))  # equals feeding the grey image three times
        else:
            new.weight.normal_(std=old.weight.std().item())  # the model's own rule for its first layer, whichever that is
        if bias:
            new.bias.copy_(old.bias)
    body.set_submodule(path, new)


def _finish(
    body: nn.Module, name: str, num_classes: int, in_chans: int, image_size: tuple[int, int], pretrained: bool
) -> TorchvisionNet:
    """Part the model from its last layer, and try it on images of this size."""
    path, last = _last(body, name)
    # torchvision: squeezenet rectifies its class maps, then averages; here: averages, then the same linear map, because
    # logits that cannot be negative give dead classes. The ReLU left in the body sees features that are rectified
    # already
    width, classes = math.prod(last.weight.shape[1:]), last.weight.shape[0]
    head = nn.Linear(width, num_classes if pretrained else classes, bias=last.bias is not None)
    if not pretrained:
        head.load_state_dict({key: value.reshape(head.state_dict()[key].shape) for key, value in last.state_dict().items()})
    body.set_submodule(path, nn.Identity())
    net = TorchvisionNet(body, head)
    try_shapes(net, name, in_chans, image_size)
    return net


def _last(body: nn.Module, name: str) -> tuple[str, nn.Module]:
    """The last layer, after its name."""
    last = body.classifier[1] if name.startswith("squeezenet") else [m for m in body.modules() if isinstance(m, nn.Linear)][-1]
    return next((path, module) for path, module in body.named_modules() if module is last)
