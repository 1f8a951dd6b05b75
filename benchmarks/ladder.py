"""From one recipe to another, one change a rung: python benchmarks/ladder.py --dataset digits --rungs S0,A0,A1,A2"""

from ssl_zoo.cli.ladder import main
from ssl_zoo.cli.parser import leave

if __name__ == "__main__":
    leave(main())
