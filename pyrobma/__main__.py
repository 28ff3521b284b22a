"""``python -m pyrobma``."""

import sys

from pyrobma.commands import main

if __name__ == "__main__":
    sys.exit(main())
