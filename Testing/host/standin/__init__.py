"""A stand-in for the Slicer application: real MRML, real Qt, PythonQt's manners.

`import standin; host = standin.install()` makes `qt`, `ctk`, `slicer` and their like importable, once per process.
`Testing/host/README.md` says what is real, what is a stand-in and what was assumed from which source.
"""

from standin.qt_singletons import reserve

# Before anything of PySide6 runs.
reserve()

from standin.host import Host  # noqa: E402
from standin.install import install  # noqa: E402

__all__ = ["Host", "install"]
