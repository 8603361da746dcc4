"""The version, readable without the package being installed: Slicer and run.py only put its folder on the path."""

VERSION = "0.3.0"
