"""Start a method, net, data set or augmentation of your own: python -m ssl_zoo.new my-method"""

import sys

from ssl_zoo.cli.new import main

if __name__ == "__main__":
    sys.exit(main())
