"""How many runs should share a device: python benchmarks/share.py --recipe digits --net smallnet"""

from ssl_zoo.cli.parser import leave
from ssl_zoo.cli.share import main

if __name__ == "__main__":
    leave(main())
