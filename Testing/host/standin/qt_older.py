"""Overloads of signals that Qt 5.15 had and Qt 6 dropped, made from those that stayed.

They are the ones that panels written for Qt 5 connect most. Everything else that Qt 6 dropped raises
NotImplementedError when it is touched, so that a panel which must run with both is written without it.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

# (class, signature of Qt 5) -> (signature of Qt 6, function(sender, *arguments) -> arguments)
OLDER_SIGNALS: dict[tuple[type, str], tuple[str, Any]] = {}


def _text_of_row(combo: Any, row: int) -> tuple[str]:
    return (QtWidgets.QComboBox.itemText(combo, row),)


def _same(sender: Any, *arguments: Any) -> tuple[Any, ...]:
    return arguments


for _name in ("currentIndexChanged", "activated", "highlighted"):
    OLDER_SIGNALS[QtWidgets.QComboBox, f"{_name}(QString)"] = (f"{_name}(int)", _text_of_row)
for _spin in (QtWidgets.QSpinBox, QtWidgets.QDoubleSpinBox):
    OLDER_SIGNALS[_spin, "valueChanged(QString)"] = ("textChanged(QString)", _same)
OLDER_SIGNALS[QtCore.QProcess, "finished(int)"] = (
    "finished(int,QProcess::ExitStatus)",
    lambda sender, code, status: (code,),
)
OLDER_SIGNALS[QtCore.QProcess, "error(QProcess::ProcessError)"] = ("errorOccurred(QProcess::ProcessError)", _same)
for _what in ("Clicked", "Pressed", "Released"):
    OLDER_SIGNALS[QtWidgets.QButtonGroup, f"button{_what}(int)"] = (f"id{_what}(int)", _same)
OLDER_SIGNALS[QtWidgets.QButtonGroup, "buttonToggled(int,bool)"] = ("idToggled(int,bool)", _same)
