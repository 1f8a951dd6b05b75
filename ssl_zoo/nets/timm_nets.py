"""timm's classification models as nets, as they are: `timm:vit_tiny_patch16_224`. They need `pip install timm`.

timm (Wightman 2019, doi:10.5281/zenodo.4414861) is imported when a net is built and not before.
"""

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import nn

from ssl_zoo.errors import InputError, between, one_line
from ssl_zoo.nets.foreign import Weights, is_path, other_names, other_net, patience, read_state, set_all, try_shapes, unfit
from ssl_zoo.registry import NETS, is_ours, near_miss

ADAPTED = ("qkv", "proj", "fc1", "fc2")  # linear layers of a transformer's block, as timm names them


@NETS.register_family("timm:{name}", r"timm:(?P<name>[a-z0-9_.]+)", example="timm:resnet18")
def timm_net(
    num_classes: int,
    in_chans: int,
    image_size: tuple[int, int],
    *,
    name: str,
    pretrained: bool | str = False,
    bn_momentum: float | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float | None = None,
    lora: int = 0,
    lora_alpha: float = 16.0,
) -> nn.Module:
    """Any classification model of timm, by its name there, perhaps with a tag: timm:resnet18.a1_in1k.

    Args:
        name: From the name: timm's.
        pretrained: Start from timm's weights, downloaded if need be (true), or from those in a file, a state_dict (its
            path). The last layer is new in any case. auto: where timm's are at hand or can be downloaded; a run settles
            that when it begins.
        bn_momentum: Weight of the newest batch in the running statistics; timm's if not given.
        drop_rate: Of the dropout before the last layer.
        drop_path_rate: Of stochastic depth, where the model has it; timm's if not given.
        lora: Rank of low-rank adapters beside the linear layers of a transformer's blocks, which then are trained with
            the last layer, and nothing else (Hu et al. 2021, arXiv:2106.09685, by peft); 0: none.
        lora_alpha: What the adapters' output is scaled by, over the rank.

    Returns:
        Images (B, C, H, W) -> logits (B, K).

    Raises:
        InputError: timm is not installed, or has no such model, or it cannot take such images, has no such option, or
            its weights cannot be had.
    """
    pretrained = at_hand(name)[0] if pretrained == "auto" else pretrained
    options = {"drop_rate": between("drop_rate", drop_rate, 0, 1)}
    if drop_path_rate is not None:
        options["drop_path_rate"] = between("drop_path_rate", drop_path_rate, 0, 1)
    net = _made(name, num_classes, in_chans, image_size, pretrained, options)
    set_all(net, name, "bn_momentum", bn_momentum, nn.modules.batchnorm._BatchNorm, "momentum")
    try_shapes(net, name, in_chans, image_size)
    return _adapted(net, name, between("lora", lora, 0, 4096), between("lora_alpha", lora_alpha, 0)) if lora else net


def _made(
    name: str,
    num_classes: int,
    in_chans: int,
    image_size: tuple[int, int],
    pretrained: bool | str,
    options: Mapping[str, Any],
) -> nn.Module:
    """timm's model, with its weights."""
    timm, config = _timm(), _config(name)
    size = {"img_size": image_size} if config.get("fixed_input_size") else {}
    more = {"num_classes": num_classes, "in_chans": in_chans, **size, **options}
    try:
        if pretrained is True:
            with patience():
                _look_at_hub(config.get("hf_hub_id"))
        net = timm.create_model(name, pretrained=pretrained is True, **more)
    except TypeError as error:  # of its constructor, whose options differ
        raise InputError(f"{name} cannot be made so ({one_line(error)}); leave the option out") from error
    except (AssertionError, ValueError) as error:
        raise unfit(name, image_size, error) from error
    except Exception as error:
        if pretrained is not True:
            raise
        why = one_line(error)[:300]
        where = config.get("hf_hub_id") or config.get("url")
        raise InputError(f"{name}: cannot get its weights, {where} ({why}); give a file with them: `pretrained=PATH`") from error
    return _from_file(net, name, str(pretrained), config, more) if is_path(pretrained) else net


def _from_file(net: nn.Module, name: str, path: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> nn.Module:
    """The model with the weights of a file, fitted to its channels and image size as timm fits its own."""
    last = config["classifier"]
    heads = tuple(f"{head}." for head in ((last,) if isinstance(last, str) else last))  # some have two
    state = {key: value for key, value in read_state(path, name).items() if not key.startswith(heads)}
    own = {key: value for key, value in net.state_dict().items() if key.startswith(heads)}
    # as if the file were of as many classes, so that timm looks whether all the rest is there
    overlay = {"state_dict": {**state, **own}, "num_classes": options["num_classes"]}
    try:
        return _timm().create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except Exception as error:  # of a filter, of a shape, of a name
        if is_ours(error):  # memory, which is not the file's fault
            raise
        wanted = {key: value for key, value in net.state_dict().items() if key not in own}
        alike = {*state} & {*wanted}  # where there are some, timm names what does not fit
        raise other_net(name, path, one_line(error)[:200] if alike else other_names(state, wanted)) from error


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError("nets of timm need it: pip install timm, or ssl_zoo[timm]") from error
    return timm


def _config(name: str) -> dict[str, Any]:
    """What timm knows of a model's weights.

    Raises:
        InputError: It has no such model.
    """
    timm = _timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        some = near_miss(architecture, timm.list_models())
        raise InputError(f"timm has no model '{architecture}'; {some}`timm.list_models()` lists all")
    try:
        return timm.get_pretrained_cfg(name).to_dict()
    except Exception as error:  # of a tag that it does not know
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise InputError(f"timm's {architecture} has no weights '{tag}'; known: {', '.join(tags) or 'none'}") from error


def at_hand(name: str) -> tuple[bool, str]:
    """Return whether a model's pretrained weights are there, after a try to fetch them, and if not, a line about it."""
    try:
        with patience():
            _look_at_hub(_config(name).get("hf_hub_id"))
            _timm().create_model(name, pretrained=True)
    except InputError:
        raise
    except Exception as error:  # of the hub, its client, or timm: each has errors of its own
        why = one_line(error)[:200]
        return False, f"pretrained weights of {name} cannot be had ({why}), so it begins from random ones; give a file with them"
    return True, ""


def _look_at_hub(model: str | None) -> None:
    """Raise OSError where weights are neither in the hub's cache nor its server in reach: its client tries for long."""
    if model is None:
        return
    from huggingface_hub import constants, try_to_load_from_cache

    files = (constants.SAFETENSORS_SINGLE_FILE, constants.PYTORCH_WEIGHTS_NAME)
    cached = (try_to_load_from_cache(model, file) for file in files)
    server = urlsplit(constants.ENDPOINT)
    if any(isinstance(found, str) for found in cached) or server.scheme in getproxies():  # a proxy finds it by itself
        return
    socket.create_connection((str(server.hostname), server.port or (80 if server.scheme == "http" else 443))).close()


def settle(options: Mapping[str, Any], *, name: str) -> tuple[dict[str, Any], str]:
    """Return a net's options with pretrained as it can be had on this machine, and a line if that is a disappointment.

    Args:
        options: Of the net.
        name: timm's.
    """
    if options.get("pretrained") != "auto":
        return {**options}, ""
    found, why = at_hand(name)
    return {**options, "pretrained": found}, why


def weights(options: Mapping[str, Any], *, name: str) -> Weights | None:
    """Return what is known of a net's pretrained weights, of those in a file as if timm's; None: it has none.

    Args:
        options: Of the net.
        name: timm's.
    """
    path = options.get("pretrained")
    if not path:
        return None
    config = _config(name)
    source = config.get("hf_hub_id") or config.get("url") or f"timm {name}"
    _, *size = config["input_size"]
    images = (tuple(config["mean"]), tuple(config["std"]), tuple(size), config["interpolation"])
    if is_path(path):
        return Weights(str(path), "not known", *images, like=source)
    return Weights(source, config.get("license") or "not stated by timm", *images)


def _adapted(net: nn.Module, name: str, rank: int, alpha: float) -> nn.Module:
    """The net with low-rank adapters, of which and of the last layer alone the weights are trained."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError("lora needs peft: pip install peft, or ssl_zoo[lora]") from error
    layers = [path for path, module in net.named_modules() if isinstance(module, nn.Linear) and path.split(".")[-1] in ADAPTED]
    if not layers:
        raise InputError(f"{name} has no transformer's blocks that lora could adapt; leave lora out, or choose a transformer")
    made = inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers), net)
    head = {id(p) for p in made.get_classifier().parameters()}
    for path, parameter in made.named_parameters():
        parameter.requires_grad_("lora_" in path or id(parameter) in head)
    return made


timm_net.settle, timm_net.weights = settle, weights  # type: ignore[attr-defined]
