"""Seeds from names: every random draw of a run is a function of what it is for, never of what was drawn before it."""

import functools
import hashlib

import torch

_MASK = (1 << 64) - 1


def _splitmix64(state: int) -> int:
    """One output of the splitmix64 generator (Steele, Lea & Flood 2014), a bijection of 64-bit numbers."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


@functools.cache
def _word(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mix(*parts: int | str) -> int:
    """Hash a tuple of numbers and words to 64 bits.

    A hash and not a sum: `seed + step + view` gives the same stream to different purposes. The low 32 bits are as good
    as the rest, which matters because torch's CPU generator uses only those.
    """
    state = len(parts)
    for part in parts:
        state = _splitmix64(state ^ (_word(part) if isinstance(part, str) else part & _MASK))
    return state


def seed_global(seed: int) -> None:
    """Seed torch's global generators, from which dropout and the draws inside a method come."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed does the same and costs a hundred times as much
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)
