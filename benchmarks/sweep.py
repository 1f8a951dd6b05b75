"""A grid of runs, resumable: python benchmarks/sweep.py --recipe digits --algs supervised,meanteacher --seeds 0-4"""

from ssl_zoo.cli.parser import leave
from ssl_zoo.cli.sweep import main

if __name__ == "__main__":
    leave(main())
