"""What the panels of SAMPromptTools share: the worker's client, the environment it runs in, MRML to files and back."""
