"""What differs between two runs; `ssl_zoo.cli.compare` is the command."""

import sys

from ssl_zoo.cli.compare import main

if __name__ == "__main__":
    sys.exit(main())
