"""The one training loop: what a task must offer, its recipe, checkpoints, and the loop itself."""
