"""The stand-in for Slicer, for the tests of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host"))

from standin.slicer_fixtures import (  # noqa: F401
    host,
    host_without_main_window,
    installed_host,
    pytest_pycollect_makemodule,
    pytest_pyfunc_call,
)
