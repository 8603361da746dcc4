"""Enumerations of the ctk widgets, short as in PythonQt: ``ctkPathLineEdit.Files``, ``ctkPathLineEdit.Filters``.

Values are those of Qt (QDir, QFileDialog, QComboBox) and of CTK's headers. Values of ctkDoubleSpinBox's decimal options
could not be read and are numbered in the order of slicer_api.json: nothing may rely on them.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6 import QtCore, QtWidgets

from standin.api import loadApi
from standin.qt_enums import free_enum_type

DIRECTORY_FILTERS = {name: one.value for name, one in QtCore.QDir.Filter.__members__.items()}
DIALOG_OPTIONS = {name: one.value for name, one in QtWidgets.QFileDialog.Option.__members__.items()}
PATH_POLICIES = {"AdjustToContents": 0, "AdjustToContentsOnFirstShow": 1, "AdjustToMinimumContentsLength": 2}
SYNCHRONIZE = {"NoSynchronize": 0, "SynchronizeWidth": 1, "SynchronizeDecimals": 2}
SCROLL_EFFECTS = {"NeverScroll": 0, "AlwaysScroll": 1, "ScrollWithFocus": 2, "ScrollWithNoVScrollBar": 3}
DECIMALS = {"FixedDecimals": 0, "DecimalsByShortcuts": 1, "DecimalsByKey": 2, "DecimalsByValue": 4, "InsertDecimals": 8}
DECIMALS |= {"ReplaceDecimals": 16, "DecimalsAsMin": 32, "DecimalsAsMax": 64, "DecimalPointAlwaysVisible": 128}


def enums(**several: dict[str, int]) -> Callable[[type], type]:
    """Class decorator, above ``declared``: ``@enums(Filters=DIRECTORY_FILTERS)``. Names that slicer_api.json does not
    list for the class are left out."""

    def give(cls: type) -> type:
        listed = loadApi().natives(cls.__name__)
        for name, values in several.items():
            kind = free_enum_type(name, "ctk")
            if name in listed:
                type.__setattr__(cls, name, kind)
            for short, value in values.items():
                if short in listed:
                    type.__setattr__(cls, short, kind(value))
        return cls

    return give
