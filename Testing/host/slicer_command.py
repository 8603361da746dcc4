#!/usr/bin/env python3
"""The command ``Slicer`` of the stand-in: starts it, runs a script or a line of code in it, ends with its exit status.

    python Testing/host/slicer_command.py --no-main-window --additional-module-paths SAMPromptTools \
        --python-script Testing/slicer/run_self_tests.py

It understands the options that our workflow and CTest lists use and refuses every other one. Without a script, or when
the script does not end the application within ``--time-limit`` seconds, it ends by itself with status 2.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

TOO_LONG = 2


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options and what is left for the script."""
    parser = argparse.ArgumentParser(prog="Slicer (stand-in)", allow_abbrev=False)
    for flag in ("--no-splash", "--ignore-slicerrc", "--disable-cli-modules", "--no-main-window", "--testing"):
        parser.add_argument(flag, action="store_true")
    # Slicer knows both spellings.
    parser.add_argument("--additional-module-paths", "--additional-module-path", nargs="+", type=Path, default=[])
    parser.add_argument("--python-script", type=Path)
    parser.add_argument("--python-code")
    parser.add_argument("--time-limit", type=float, default=600.0)
    own, rest = arguments, []
    if "--python-script" in arguments:  # what stands behind the script is the script's
        cut = arguments.index("--python-script") + 2
        own, rest = arguments[:cut], arguments[cut:]
    return parser.parse_args(own), rest


def main(arguments: list[str]) -> int:
    """Start, load the modules, run, wait until the application is asked to end."""
    options, rest = parse(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import standin

    host = standin.install(main_window=not options.no_main_window)
    host.reset_switches()
    host.application_layer.start(main_window=not options.no_main_window)
    host.testing = options.testing
    host.module_paths = [path.resolve() for path in options.additional_module_paths]
    for folder in host.module_paths:
        sys.path.insert(0, str(folder))
        for path in sorted(folder.glob("*.py")):
            host.load_module(path.stem)
    if options.python_script is not None:
        sys.argv = [str(options.python_script), *rest]
        runpy.run_path(str(options.python_script), run_name="__main__")
    if options.python_code is not None:
        exec(options.python_code, {"__name__": "__main__"})
    asked = host.wait_until(lambda: any(one[0] == "exit" for one in host.requests), options.time_limit)
    status = next((one[1] for one in host.requests if one[0] == "exit"), TOO_LONG)
    if not asked:
        print(f"Nothing ended the application within {options.time_limit:g} s.", file=sys.stderr)
    host.quit()
    host.application_layer.finish()  # windows and scene go before the interpreter does
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
