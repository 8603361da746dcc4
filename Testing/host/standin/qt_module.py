"""The module `qt`: one flat namespace of mannered classes, made when first asked for."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtWidgets

from standin import qt_dialogs, qt_signals  # noqa: F401  (the dialogs register their methods)
from standin.api import loadApi
from standin.qt_classes import mannered, qt_namespace
from standin.qt_raw_classes import raw_class_named

# Classes that Slicer's qt module has although slicer_api.json does not list them (value types, items, events, abstract
# classes, static services): from what Slicer's own modules and PythonQt's wrappers of Qt 5.15 use.
_FURTHER = """
    QApplication QGuiApplication QCoreApplication QScreen QClipboard QDesktopServices QToolTip QWhatsThis
    QStyleFactory QColor QSize QSizeF QPoint QPointF QRect QRectF QLine QLineF QMargins QMarginsF QByteArray QIcon
    QPixmap QImage QBitmap QPicture QFont QFontMetrics QFontMetricsF QFontInfo QFontDatabase QBrush QPen QPainter
    QPainterPath QPalette QPolygon QPolygonF QRegion QTransform QMatrix4x4 QVector2D QVector3D QVector4D
    QQuaternion QCursor QKeySequence QGradient QLinearGradient QRadialGradient QConicalGradient QLocale
    QSizePolicy QDateTime QDate QTime QTimeZone QElapsedTimer QUrl QUrlQuery QUuid QFileInfo QDir QDirIterator
    QStandardPaths QStorageInfo QSysInfo QLibraryInfo QCryptographicHash QRegularExpression
    QRegularExpressionMatch QProcessEnvironment QTextStream QDataStream QMimeDatabase QMimeType QResource QThread
    QTableWidgetItem QTreeWidgetItem QListWidgetItem QStandardItem QTableWidgetSelectionRange
    QTreeWidgetItemIterator QModelIndex QPersistentModelIndex QItemSelection QItemSelectionRange QHeaderView
    QTextCursor QTextCharFormat QTextBlockFormat QTextFormat QTextOption QTextBlock QSpacerItem QWidgetItem
    QLayoutItem QStyle QStyleOption QStyleOptionButton QStyleOptionViewItem QStyleOptionComboBox
    QStyleOptionSlider QStylePainter QEvent QCloseEvent QKeyEvent QMouseEvent QWheelEvent QResizeEvent QShowEvent
    QHideEvent QFocusEvent QPaintEvent QMoveEvent QDragEnterEvent QDragMoveEvent QDragLeaveEvent QDropEvent
    QContextMenuEvent QHelpEvent QTimerEvent QChildEvent QHoverEvent QInputEvent QStatusTipEvent
    QWhatsThisClickedEvent QDynamicPropertyChangeEvent QGraphicsItem QGraphicsRectItem QGraphicsEllipseItem
    QGraphicsLineItem QGraphicsPathItem QGraphicsPixmapItem QGraphicsPolygonItem QGraphicsSimpleTextItem
    QGraphicsItemGroup QNetworkRequest QPrinter
"""
FURTHER = frozenset(_FURTHER.split())


class QtModule(ModuleType):
    """`qt`. AttributeError in Python's own words for a name that Slicer's module has not."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        known = name in FURTHER or (name in loadApi() and loadApi().classes[name].namespace == "qt")
        if not known:
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        raw = raw_class_named(name)
        made = None if raw is None else mannered(raw)
        if made is None:
            raise NotImplementedError(f"qt.{name}: the stand-in's Qt 6 has no such class")
        setattr(self, name, made)
        return made

    def __dir__(self) -> list[str]:
        return sorted(set(class_names()) | set(vars(self)))


def class_names() -> list[str]:
    """Every class that the module has and the stand-in's Qt 6 can supply."""
    listed = [name for name, facts in loadApi().classes.items() if facts.namespace == "qt"]
    return sorted(name for name in {*listed, *FURTHER} if (raw := raw_class_named(name)) and mannered(raw))


def build() -> ModuleType:
    """Make the module, the one QApplication, and a private place for settings that goes away at the end."""
    module = QtModule("qt", "Slicer's qt module, as the stand-in has it.")
    module.Qt = qt_namespace()
    module.Signal = qt_signals.Signal
    module.qApp = None
    settings = tempfile.mkdtemp(prefix="samprompt-host-settings-")
    atexit.register(shutil.rmtree, settings, ignore_errors=True)
    # As Slicer names itself; the files lie in the private folder whatever the platform's habit is.
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setOrganizationDomain("na-mic.org")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    for form in (QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Format.NativeFormat):
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(form, scope, settings)
    application = QtWidgets.QApplication.instance() or module.QApplication(sys.argv[:1])
    application.__class__ = module.QApplication
    application.setQuitOnLastWindowClosed(False)
    module.qApp = application
    atexit.register(_leave, application)
    return module


def _leave(application: Any) -> None:
    """Delete what windows are left before Python tears its modules down, else Qt may call into a dead interpreter."""
    import shiboken6

    if not shiboken6.isValid(application):
        return
    QtWidgets.QApplication.closeAllWindows()
    for widget in QtWidgets.QApplication.topLevelWidgets():
        if shiboken6.isValid(widget) and QtWidgets.QWidget.parent(widget) is None:
            widget.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(None, 52)  # 52: QEvent.DeferredDelete
