"""How many runs should share a device: python benchmarks/share.py --recipe digits --net smallnet"""

import sys

from ssl_zoo.cli.share import main

if __name__ == "__main__":
    sys.exit(main())
