"""The mannered classes, made when first asked for: `type(c)(name, (Manners, c), {...})` for PySide6's class c."""

from __future__ import annotations

import contextlib
import enum
import functools
import importlib
from typing import Any

import shiboken6

from standin import qt_convert
from standin.qt_enums import enum_type, enums_of, free_enum_type, pythonqt_module
from standin.qt_manners import Manners, MannersType
from standin.qt_names import Names, names_of, qt515
from standin.qt_raw_classes import raw_class_named
from standin.qt_registry import is_cpp, raw_of_class, register


@functools.cache
def mannered(raw: type) -> type | None:
    """The mannered class of PySide6's class, None when the application's Qt has no class of that name."""
    if not isinstance(raw, type(shiboken6.Object)) or not raw.__module__.startswith("PySide6."):
        return None
    names = names_of(raw.__name__)
    if names is None:
        # Classes that only Qt 6 has (QSinglePointEvent...) are shown as their nearest known base.
        return next((found for base in raw.__bases__ if (found := mannered(base)) is not None), None)
    if issubclass(raw, enum.Enum):
        return None
    body: dict[str, Any] = {"_in_made_by_standin": True, "__module__": pythonqt_module(raw.__module__)}
    body.update(enum_attributes(raw, names))
    _measure(raw)
    made = MannersType(raw.__name__, (Manners, raw), body)
    register(made, names, raw)
    return made


def _measure(raw: type) -> None:
    """Let PySide6 find out where the bases of a C++ class with several lie: it does so when it first makes an object.

    A class derived before that has no such offsets; an object that changes into it would be forgotten under the
    address of its first base only, and a later object there would meet the dead one.
    """
    if not any(len(one.__bases__) > 1 for one in raw.__mro__ if one.__module__.startswith("PySide6.")):
        return
    widgets = importlib.import_module("PySide6.QtWidgets")
    core = importlib.import_module("PySide6.QtCore")
    # Abstract ones: Qt makes objects of them itself.
    makers: dict[str, Any] = {
        "QAbstractButton": lambda: widgets.QTableWidget().findChild(widgets.QAbstractButton),
        "QLayout": lambda: widgets.QMainWindow().layout(),
        "QBoxLayout": lambda: raw(widgets.QBoxLayout.Direction.LeftToRight),
        "QHeaderView": lambda: raw(core.Qt.Orientation.Horizontal),
        "QSizeGrip": lambda: raw(widgets.QWidget()),
        "QRubberBand": lambda: raw(widgets.QRubberBand.Shape.Line),
        "QSplitterHandle": lambda: widgets.QSplitter().handle(0),
    }
    with contextlib.suppress(TypeError, NotImplementedError, ValueError):
        makers.get(raw.__name__, raw)()


def enum_attributes(raw: type, names: Names) -> dict[str, Any]:
    """The enum types and their values that the class has by the facts: `{"Icon": <class Icon>, "Critical": 3, ...}`."""
    found: dict[str, Any] = {}
    enums = enums_of(raw)
    for enum_name, raw_enum in enums.items():
        short = enum_type(raw_enum)
        if enum_name in names.natives:
            found[enum_name] = short
        for member_name, member in raw_enum.__members__.items():
            if member_name in names.natives:
                found[member_name] = short(member.value)
    # Types of flags (`StandardButtons`) are no classes of their own in PySide6; some values only Qt 5 had.
    for name in names.natives - set(found):
        if name in names.enum_values:
            found[name] = int(names.enum_values[name])
        elif name[:1].isupper():
            alias = getattr(raw, name, None) or enums.get(name.removesuffix("s"))
            if alias is None:
                found[name] = free_enum_type(name, raw.__module__)
            elif isinstance(alias, type) and issubclass(alias, enum.Enum):
                found[name] = enum_type(alias)
    return found


def qt_namespace() -> type:
    """`qt.Qt`: the enums of Qt 5.15's namespace, short, and nothing else."""
    raw = raw_class_named("Qt")
    enums = enums_of(raw)
    body: dict[str, Any] = {"__module__": "PythonQt.QtCore"}
    for enum_name, values in qt515()["Qt"]["enums"].items():
        raw_enum = enums.get(enum_name) or enums.get(enum_name.removesuffix("s")) or enums.get(f"{enum_name}Flag")
        short = enum_type(raw_enum) if raw_enum else free_enum_type(enum_name, "PySide6.QtCore")
        body[enum_name] = short
        for member_name, value in values.items():
            if value is not None:
                body[member_name] = short(value)
    return type("Qt", (), body)


# Values that a QVariant holds; items, painters, events and the like are no values.
_VALUES = frozenset(
    (
        "QBitmap", "QBrush", "QByteArray", "QColor", "QCursor", "QDate", "QDateTime", "QFont", "QIcon", "QImage",
        "QItemSelection", "QKeySequence", "QLine", "QLineF", "QLocale", "QMargins", "QMarginsF", "QMatrix4x4",
        "QModelIndex", "QPalette", "QPen", "QPersistentModelIndex", "QPixmap", "QPoint", "QPointF", "QPolygon",
        "QPolygonF", "QQuaternion", "QRect", "QRectF", "QRegion", "QRegularExpression", "QSize", "QSizeF",
        "QSizePolicy", "QTextCharFormat", "QTextFormat", "QTextOption", "QTime", "QTransform", "QUrl", "QUuid",
        "QVector2D", "QVector3D", "QVector4D",
    )
)  # fmt: skip


@functools.cache
def _variant_class(kind: type) -> type | None:
    return raw_of_class(kind) if kind.__name__ in _VALUES and is_cpp(kind) else None


qt_convert.mannered_class = mannered
qt_convert.variant_class = _variant_class
