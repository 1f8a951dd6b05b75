"""The method that the others of a table are compared with, found by its name."""

import contextlib
from collections.abc import Sequence

from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, folded, near_miss
from ssl_zoo.tables.cells import ALONE
from ssl_zoo.tables.rows import Row
from ssl_zoo.tables.variants import called, listed_names, owner_of, variant_of


def reference_named(name: str, rows: Sequence[Row]) -> str:
    """Return the method, or the variant of one, that a name stands for, as rows have it.

    Labels alone need not be there: then nothing is compared.

    Args:
        name: Of a method, or an alias of it, or what a variant is called.
        rows: Of runs, told apart.

    Raises:
        InputError: No run is of it. Or variants of the method differ in its own options, so that a run would have
            several to be compared with.
    """
    if name != ALONE:
        with contextlib.suppress(InputError):  # a method of a plug-in that is not loaded has no alias
            name = ALGORITHMS.resolve(name).name
    if name == ALONE:
        return ALONE
    there = dict.fromkeys(name for row in rows for name in (row["algorithm"], called(row)))
    found = next((one for one in there if folded(one) == folded(name)), None)
    if found is None:
        raise InputError(f"no run of '{name}' is there to compare with; {near_miss(name, there)}there are: {listed_names(there)}")
    own = {called(row): row for row in rows if row["algorithm"] == found}
    if len(own) > 1 and found not in own and any(owner_of(key) == found for row in own.values() for key in variant_of(row)):
        raise InputError(f"several variants of {found} are there to compare with; name one of them: {listed_names(own)}")
    return found
