#!/usr/bin/env python3
"""Sets the project up outside the checkout and runs it; standard library only, Linux, macOS and Windows.

    python3 run.py demo [--out FOLDER ...] a synthetic patient, its contours carried to three visits, a report
    python3 run.py test [PYTEST ARGUMENTS] every check that continuous integration makes
    python3 run.py setup                   the environment alone
    python3 run.py samprompt ARGUMENTS     the command line itself
    python3 run.py python ARGUMENTS        that environment's Python, which finds the project

The first call installs the packages into a virtual environment in the user's cache folder (or in SAMPROMPT_VENV_HOME).
The environment is keyed by constraints.txt, the dependencies of pyproject.toml, the Python version and the platform, so
several checkouts share one and a change of any of them makes a new one. The project itself is not installed into it:
its two source folders are put on PYTHONPATH. Exit codes: 0 good, 1 a check failed, 2 input, 3 environment,
4 cancelled, 5 memory.
"""

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

OLDEST_PYTHON = (3, 11)
CANCELLED, ENVIRONMENT = 4, 3
INTERRUPTED = (-2, 0xC000013A)  # how a process ends that Ctrl-C ended: POSIX, Windows


def python_problem(version):
    """Return what is wrong with this Python version, "" when nothing is."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return ""
    return (
        "SAMPromptTools needs Python {}.{} or newer, this one is {}.{}.\n"
        "Call run.py with a newer one, for example: python3.12 run.py demo"
    ).format(*OLDEST_PYTHON, *version[:2])


# Before anything below is defined: older Pythons cannot even read the annotations that follow.
if python_problem(sys.version_info):
    print(python_problem(sys.version_info), file=sys.stderr)
    sys.exit(ENVIRONMENT)

ROOT = Path(__file__).resolve().parent
SOURCES = (ROOT / "SAMPromptTools", ROOT / "training")
GROUPS = ("test", "training", "host")  # optional dependencies installed as well; sam2 has a step of its own
MARKER = "samprompttools-ready.json"  # written last: an environment without it was interrupted
# Shared library -> Debian package. opencv, which the tests' rt-utils brings along, and VTK want the first two; Qt, in
# which the panels are tested off screen, wants the others.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libEGL.so.1": "libegl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
}
FONTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts")  # where Linux keeps them
FONT_PACKAGE = "fonts-dejavu-core"


class SetupProblem(Exception):
    """The environment cannot be made; the text says why and what to do."""


def say(text: str) -> None:
    """Print one line at once, also where the output is a pipe."""
    print(text, flush=True)


# --- where the environment lies ---------------------------------------------------------------------------------------
def environment_home(environ: dict[str, str], system: str, user: Path) -> Path:
    """Return the folder of the environments: SAMPROMPT_VENV_HOME or the platform's cache folder for this project."""
    if environ.get("SAMPROMPT_VENV_HOME"):
        return Path(environ["SAMPROMPT_VENV_HOME"]).expanduser().resolve()
    if environ.get("XDG_CACHE_HOME"):
        cache = Path(environ["XDG_CACHE_HOME"])
    elif system == "win32":
        cache = Path(environ.get("LOCALAPPDATA") or user / "AppData" / "Local")
    elif system == "darwin":
        cache = user / "Library" / "Caches"
    else:
        cache = user / ".cache"
    return cache / "samprompttools"


def requirements(root: Path) -> dict[str, list[str]]:
    """Read the dependencies of pyproject.toml, by group; "" is the group of the required ones."""
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def environment_name(root: Path) -> str:
    """Return the folder name of the environment that fits this checkout, this Python and this platform."""
    python = f"py{sys.version_info[0]}{sys.version_info[1]}"
    parts = [
        (root / "constraints.txt").read_text(encoding="utf-8"),
        json.dumps(requirements(root), sort_keys=True),
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{sys.platform} {platform.machine()}",
    ]
    return f"venv-{python}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def program(environment: Path, name: str) -> Path:
    """Return the path of a program inside an environment."""
    return environment / "Scripts" / f"{name}.exe" if os.name == "nt" else environment / "bin" / name


# --- making the environment -------------------------------------------------------------------------------------------
@contextmanager
def only_one(lock: Path):
    """Hold a lock, which the operating system gives back when this process dies; wait while another holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+b") as handle:
        told = False
        while True:
            try:
                if os.name == "nt":
                    import msvcrt

                    msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
                else:
                    import fcntl

                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                if not told:
                    say(f"Another set-up is under way ({lock}); waiting for it.")
                told = True
                time.sleep(0.5)
        yield


def run_logged(command: list[str], log: Path, variables: dict[str, str]) -> int:
    """Run a command with everything it prints appended to ``log``; return its exit status."""
    with log.open("ab") as output:
        output.write(f"\n$ {shlex.join(command)}\n".encode())
        output.flush()
        return subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **variables}, check=False
        ).returncode


def setup_steps(root: Path, environment: Path) -> list[tuple[str, list[str], dict[str, str], bool]]:
    """Return the steps of a set-up: what it is in words, command, environment variables, may it fail."""
    groups = requirements(root)
    wanted = [line for group in ("", *GROUPS) for line in groups[group]]
    torch = [line for line in wanted if line.startswith("torch")]
    pip = [str(program(environment, "python")), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    pip += ["--constraint", str(root / "constraints.txt")]
    return [
        ("a virtual environment", [sys.executable, "-m", "venv", "--clear", str(environment)], {}, False),
        ("build tools", [*pip, "setuptools", "wheel"], {}, False),
        ("PyTorch (the large one, 1 to 4 minutes)", [*pip, *torch], {}, False),
        ("imaging, learning and test packages (about 1 minute)", [*pip, *wanted], {}, False),
        # A source package whose build imports torch: without isolation it finds ours, and no CUDA compiler is wanted.
        ("SAM 2 (optional)", [*pip, "--no-build-isolation", *groups["sam2"]], {"SAM2_BUILD_CUDA": "0"}, True),
    ]


def check_tools() -> None:
    """Raise SetupProblem when this Python cannot make virtual environments with pip."""
    if all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        return
    raise SetupProblem(
        f"This Python ({sys.executable}) has no venv or no pip (ensurepip is missing).\n"
        f"On Debian or Ubuntu: apt-get install python3-venv; elsewhere take the Python of python.org, conda or pyenv."
    )


def is_ready(environment: Path) -> bool:
    """Say whether a set-up came to its end and its Python is still there (an upgrade of the system may remove it)."""
    return (environment / MARKER).is_file() and program(environment, "python").exists()


def prepare(root: Path, home: Path, execute=run_logged) -> Path:
    """Return the environment that fits the checkout; make it first where it is missing or was interrupted.

    ``execute`` runs one command (command, log, variables) and returns its exit status.

    Raises:
        SetupProblem: the folder cannot be written, Python has no venv, or a step that may not fail did.
    """
    environment = home / environment_name(root)
    if is_ready(environment):
        return environment
    check_tools()
    try:
        with only_one(home / f"{environment.name}.lock"):
            if not is_ready(environment):  # another process may have made it while this one waited
                make(root, environment, execute)
    except OSError as problem:
        raise SetupProblem(
            f"The environment cannot be written to {home}: {problem}\n"
            f"Set SAMPROMPT_VENV_HOME to a folder that you may write to, with about 7 GB free."
        ) from problem
    return environment


def make(root: Path, environment: Path, execute) -> None:
    """Make an environment step by step; the marker is written last."""
    log = environment.with_suffix(".log")
    size = 6.5 if sys.platform == "linux" else 2.5
    free = shutil.disk_usage(environment.parent).free / 1e9
    if environment.exists():
        say("An earlier set-up was interrupted; it is made anew.")
    say(f"Set-up, once: 2 to 6 minutes and {size:.1f} GB ({free:.0f} GB free), into {environment}")
    if free < size:
        say("  Warning: that is little space; SAMPROMPT_VENV_HOME names another folder.")
    log.write_bytes(b"")
    (environment / MARKER).unlink(missing_ok=True)
    steps, left_out = setup_steps(root, environment), []
    for number, (words, command, variables, may_fail) in enumerate(steps, 1):
        start = time.monotonic()
        say(f"  [{number}/{len(steps)}] {words} ...")
        status = execute(command, log, variables)
        if status == 0:
            say(f"  [{number}/{len(steps)}] done in {time.monotonic() - start:.0f} s")
        elif may_fail:
            left_out.append(words)
            say(f"  [{number}/{len(steps)}] {words} could not be installed; everything else works. Details: {log}")
        else:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
            raise SetupProblem(
                f"{tail}\n\nInstalling {words} failed (the whole log: {log}).\n"
                f"Check network, proxy and disk space; the next call starts this set-up again."
            )
    partial = environment / f"{MARKER}.partial"
    partial.write_text(json.dumps({"left_out": left_out, "python": platform.python_version()}), encoding="utf-8")
    partial.replace(environment / MARKER)
    others = sorted(p.parent for p in environment.parent.glob(f"venv-*/{MARKER}") if p.parent != environment)
    if others:
        say("Older environments, to delete when no checkout needs them: " + ", ".join(str(path) for path in others))


# --- running inside it ------------------------------------------------------------------------------------------------
def project_variables(root: Path) -> dict[str, str]:
    """Return the process environment in which the project's packages are found."""
    path = os.pathsep.join([*(str(root / folder.name) for folder in SOURCES), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "PYTHONUTF8": "1"}


def run_inside(command: list[str], variables: dict[str, str], folder: Path | None = None) -> int:
    """Run a command of the environment with this terminal; return its exit status, 4 after Ctrl-C.

    A Ctrl-C reaches the child as well; it is waited for, so that it can remove what it had half written.
    """
    process = subprocess.Popen(command, env=variables, cwd=folder)
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            continue
        return CANCELLED if status in INTERRUPTED else status


def missing_fonts(folders: tuple[Path, ...]) -> list[str]:
    """Return the Debian package of a font where there is none (Qt then draws no text); always empty off Linux."""
    if sys.platform != "linux":
        return []
    found = any(path.suffix.lower() in (".ttf", ".otf", ".ttc") for folder in folders for path in folder.rglob("*"))
    return [] if found else [FONT_PACKAGE]


def missing_libraries(names: dict[str, str]) -> list[str]:
    """Return the Debian packages of the shared libraries that do not load; always empty off Linux."""
    missing = []
    for library, package in names.items() if sys.platform == "linux" else ():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


def check_libraries() -> bool:
    """Name missing system libraries, install them as root on Debian; say whether all are there in the end."""
    missing = missing_libraries(SYSTEM_LIBRARIES) + missing_fonts(FONTS)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        say("Missing system libraries, installing: " + " ".join(missing))
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=False, **quiet)
        missing = missing_libraries(SYSTEM_LIBRARIES) + missing_fonts(FONTS)
    if missing:
        say("Missing system libraries. On Debian or Ubuntu: sudo apt-get install " + " ".join(missing))
    return not missing


def test_checks(environment: Path, arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Return the checks of ``test`` in order: name and command."""
    python = str(program(environment, "python"))
    return [
        ("ruff check", [python, "-m", "ruff", "check", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
        ("mypy", [python, "-m", "mypy"]),
        ("lint-imports", [str(program(environment, "lint-imports")), "--no-cache"]),
        # One file to one worker: what a file's tests share is made once.
        ("pytest", [python, "-m", "pytest", "-n", str(min(4, os.cpu_count() or 1)), "--dist=loadfile", *arguments]),
    ]


def test(environment: Path, arguments: list[str]) -> int:
    """Run every check, also after one failed; return 0 when all passed."""
    results = [("system libraries", check_libraries(), 0.0)]
    # Each pytest worker computes on one thread: together they use the processor, and do not fight for it.
    variables = {**project_variables(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    variables.setdefault("QT_QPA_PLATFORM", "offscreen")
    for name, command in test_checks(environment, arguments):
        say(f"\n=== {name}")
        start = time.monotonic()
        status = run_inside(command, variables, ROOT)
        if status == CANCELLED:
            return CANCELLED
        results.append((name, status == 0, time.monotonic() - start))
    say("\n=== summary")
    for name, passed, seconds in results:
        say(f"{'ok    ' if passed else 'FAILED'}  {name:<18}{seconds:7.1f} s")
    return 0 if all(passed for _, passed, _ in results) else 1


def demo(environment: Path, arguments: list[str]) -> int:
    """Run the demo and end with the path of its report; a folder other than the default is not overwritten unasked."""
    parser = argparse.ArgumentParser(prog="run.py demo", epilog="All else is handed to `samprompt demo`.")
    parser.add_argument("--out", type=Path, help="folder of the report (demo-report, replaced by each call)")
    chosen, rest = parser.parse_known_args(arguments)
    out = (chosen.out or Path("demo-report")).resolve()
    if chosen.out is None and "--overwrite" not in rest:
        rest.append("--overwrite")
    say(f"Demo: a synthetic patient with three later visits; a minute or two on two cores. Results go to {out}")
    status = samprompt(environment, ["demo", "--out", str(out), *rest])
    if status == 0:
        say(f"Open this in a browser: {out / 'report.html'}")
    return status


def samprompt(environment: Path, arguments: list[str]) -> int:
    """Run the command line of the project."""
    command = [str(program(environment, "python")), "-m", "samprompt.cli", *arguments]
    return run_inside(command, project_variables(ROOT))


def main(arguments: list[str]) -> int:
    """Read the command, make the environment, run."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["demo", "test", "setup", "samprompt", "python"], metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="handed to the command")
    chosen = parser.parse_args(arguments)
    home = environment_home(dict(os.environ), sys.platform, Path.home())
    try:
        environment = prepare(ROOT, home)
    except SetupProblem as problem:
        print(problem, file=sys.stderr)
        return ENVIRONMENT
    if chosen.command == "test":
        return test(environment, chosen.arguments)
    if chosen.command == "demo":
        return demo(environment, chosen.arguments)
    if chosen.command == "samprompt":
        return samprompt(environment, chosen.arguments)
    if chosen.command == "python":
        return run_inside([str(program(environment, "python")), *chosen.arguments], project_variables(ROOT))
    say(f"Ready: {environment}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("\nCancelled; an interrupted set-up is made anew by the next call.")
        sys.exit(CANCELLED)
