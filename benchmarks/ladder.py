"""From one recipe to another, one change a rung: python benchmarks/ladder.py --dataset digits --rungs S0,A0,A1,A2"""

import sys

from ssl_zoo.cli.ladder import main

if __name__ == "__main__":
    sys.exit(main())
