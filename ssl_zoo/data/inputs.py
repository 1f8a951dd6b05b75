"""The old place of `normalisation`, until nothing imports it from here any more; then to be removed."""

from ssl_zoo.data.normalisation import BEFORE, Transformation, check_steps, shift_and_scale, transformation, transformed

__all__ = ["BEFORE", "Transformation", "check_steps", "shift_and_scale", "transformation", "transformed"]
