"""What ctest runs inside Slicer: the self-test that the module SAMPropagation brings along."""

from SAMPropagation import SAMPropagationTest  # noqa: F401  (found by unittest)
