"""``python -m ngksock.ctl`` is ngkctl."""

import sys

from ngksock.ctl.ngkctl import main

if __name__ == "__main__":
    sys.exit(main())
