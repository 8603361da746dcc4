"""``python -m samprompt.cli``: the command line where no console script was installed."""

import sys

from samprompt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
