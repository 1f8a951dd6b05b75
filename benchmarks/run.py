"""One run, from a command line to a scored result: python benchmarks/run.py --alg meanteacher --net wrn28_2"""

from ssl_zoo.cli.parser import leave
from ssl_zoo.cli.run import main

if __name__ == "__main__":
    leave(main())
