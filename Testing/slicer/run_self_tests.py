"""Runs the self-tests of the panels inside the application and ends it: exit status 0 when all passed, 1 otherwise.

    Slicer --no-splash --ignore-slicerrc [--no-main-window] --additional-module-paths SAMPromptTools \
        --python-script Testing/slicer/run_self_tests.py [--require-backend]

``--require-backend`` makes a skipped computing part a failure: for a run in which the backend is installed.
"""

import sys
import traceback
import unittest

import qt
import slicer

MODULES = ("SAMPropagation",)
STARTED_MS = 500  # the application is still starting while a script runs; a module is selected only after that


def run() -> bool:
    """Run every module's test; return whether all passed."""
    passed = True
    for name in MODULES:
        test = getattr(__import__(name), f"{name}Test")
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(test)
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
        for case, reason in result.skipped:
            print(f"SKIPPED {case}: {reason}")
        complete = result.testsRun > 0 and not ("--require-backend" in sys.argv and result.skipped)
        passed = passed and complete and result.wasSuccessful()
    return passed


def main() -> None:
    """Run, say how it went, and end the application."""
    try:
        passed = run()
    except Exception:
        traceback.print_exc()
        passed = False
    print("SELF-TESTS PASSED" if passed else "SELF-TESTS FAILED", flush=True)
    slicer.util.exit(0 if passed else 1)


qt.QTimer.singleShot(STARTED_MS, main)
