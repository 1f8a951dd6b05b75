"""A grid of runs, resumable: python benchmarks/sweep.py --recipe digits --algs supervised,meanteacher --seeds 0-4"""

import sys

from ssl_zoo.cli.sweep import main

if __name__ == "__main__":
    sys.exit(main())
