"""``python -m samprompt_training.tiny``: the same as ``samprompt train tiny``, for ``accelerate launch -m``."""

import sys

from samprompt.cli.main import main

sys.exit(main(["train", "tiny", *sys.argv[1:]]))
