"""What differs between two runs; `ssl_zoo.cli.compare` is the command."""

from ssl_zoo.cli.compare import main
from ssl_zoo.cli.parser import leave

if __name__ == "__main__":
    leave(main())
