"""Run folders or files of rows -> tables; `ssl_zoo.cli.table` is the command."""

from ssl_zoo.cli.parser import leave
from ssl_zoo.cli.table import main

if __name__ == "__main__":
    leave(main())
