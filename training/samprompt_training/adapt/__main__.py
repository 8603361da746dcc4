"""``python -m samprompt_training.adapt``: the same as ``samprompt train adapt``, for ``accelerate launch -m``."""

import sys

from samprompt.cli.main import main

sys.exit(main(["train", "adapt", *sys.argv[1:]]))
