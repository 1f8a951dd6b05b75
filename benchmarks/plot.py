"""Pictures of finished runs; `ssl_zoo.cli.plot` is the command."""

import sys
from collections.abc import Sequence

from ssl_zoo.cli import plot

if __package__:
    from benchmarks.run import restore
else:
    from run import restore


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return the exit status."""
    return plot.main(argv, restore=restore)


if __name__ == "__main__":
    sys.exit(main())
