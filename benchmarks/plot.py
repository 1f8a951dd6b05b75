"""Pictures of finished runs: python benchmarks/plot.py runs/digits-20 --kind curves --out curves.png"""

from ssl_zoo.cli.parser import leave
from ssl_zoo.cli.plot import main

if __name__ == "__main__":
    leave(main())
