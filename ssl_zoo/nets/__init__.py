"""Nets: ordinary modules that follow timm's convention. Importing this package registers them all."""

from ssl_zoo.nets import convnet13, linear, mlp, shakeshake, small, spellings, timm_nets, torchvision_nets, wrn

__all__ = ["convnet13", "linear", "mlp", "shakeshake", "small", "spellings", "timm_nets", "torchvision_nets", "wrn"]
