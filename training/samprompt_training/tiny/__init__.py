"""Training of the built-in model on randomised synthetic scenes."""
