"""Run folders or files of rows -> tables; `ssl_zoo.cli.table` is the command."""

import sys

from ssl_zoo.cli.table import main

if __name__ == "__main__":
    sys.exit(main())
