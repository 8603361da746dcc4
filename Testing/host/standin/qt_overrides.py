"""Qt's virtual methods written anew in Python: called by Qt with mannered arguments, their errors printed and kept."""

from __future__ import annotations

import dis
import functools
import gc
import sys
from types import FunctionType
from typing import Any

from standin.qt_convert import for_variant, manner
from standin.qt_signals import report

_LOADS = {dis.opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD") if name in dis.opmap}


def called_by_qt(function: FunctionType, original: Any) -> FunctionType:
    """The function as Qt calls it: an exception is printed and kept, and Qt's own `original` answers in its place.

    PythonQt goes on with a default value; PySide6 would raise the error in whatever Python code runs next.
    """

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        # See Manners.__getattribute__: Qt goes on with the object when this function has returned.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return for_variant(function(*(manner(one) for one in arguments)))
        except Exception as error:
            report(error)
            return None if function.__name__.endswith("Event") else original(*arguments)
        finally:
            if collecting:
                gc.enable()

    # Python code that calls the method itself gets the plain function, and its exceptions.
    run._in_wrapped = function
    return run


def asked_by_python(depth: int) -> bool:
    """Whether the attribute being looked up is asked for by a line of Python (`widget.closeEvent`), not by Qt.

    Qt asks while Python stands at a call (`application.processEvents()`). `depth`: how many frames above this one the
    line is.
    """
    frame = sys._getframe(depth)
    return frame.f_code.co_code[frame.f_lasti] in _LOADS
