"""``python -m samprompt_training.refiner``: the same as ``samprompt train refiner``, for ``accelerate launch -m``."""

import sys

from samprompt.cli.main import main

sys.exit(main(["train", "refiner", *sys.argv[1:]]))
