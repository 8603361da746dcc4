"""Every class of the qt module can be made, answers to what Slicer's has, and refuses everything else."""

from __future__ import annotations

import pytest
from standin import qt_module
from standin.qt_names import names_of

APPLICATIONS = {"QApplication", "QGuiApplication", "QCoreApplication"}
# What these need to be made; every other class is made without arguments.
ARGUMENTS = {
    "QActionGroup": lambda qt: (qt.QObject(),),
    "QChildEvent": lambda qt: (qt.QEvent.ChildAdded, qt.QObject()),
    "QContextMenuEvent": lambda qt: (qt.QContextMenuEvent.Mouse, qt.QPoint(1, 2), qt.QPoint(1, 2)),
    "QCryptographicHash": lambda qt: (qt.QCryptographicHash.Sha256,),
    "QDirIterator": lambda qt: ("/",),
    "QDrag": lambda qt: (qt.QObject(),),
    "QDynamicPropertyChangeEvent": lambda qt: (qt.QByteArray(b"x"),),
    "QEvent": lambda qt: (qt.QEvent.User,),
    "QFocusEvent": lambda qt: (qt.QEvent.FocusIn,),
    "QFontInfo": lambda qt: (qt.QFont(),),
    "QFontMetrics": lambda qt: (qt.QFont(),),
    "QFontMetricsF": lambda qt: (qt.QFont(),),
    "QHeaderView": lambda qt: (qt.Qt.Horizontal,),
    "QHelpEvent": lambda qt: (qt.QEvent.ToolTip, qt.QPoint(), qt.QPoint()),
    "QKeyEvent": lambda qt: (qt.QEvent.KeyPress, qt.Qt.Key_A, qt.Qt.NoModifier, "a"),
    "QMoveEvent": lambda qt: (qt.QPoint(1, 1), qt.QPoint()),
    "QPaintEvent": lambda qt: (qt.QRect(0, 0, 1, 1),),
    "QPlainTextDocumentLayout": lambda qt: (qt.QTextDocument(),),
    "QResizeEvent": lambda qt: (qt.QSize(2, 2), qt.QSize(1, 1)),
    "QShortcut": lambda qt: (qt.QWidget(),),
    "QSizeGrip": lambda qt: (qt.QWidget(),),
    "QSpacerItem": lambda qt: (1, 2),
    "QStatusTipEvent": lambda qt: ("tip",),
    "QTimerEvent": lambda qt: (3,),
    "QTreeWidgetItemIterator": lambda qt: (qt.QTreeWidget(),),
    "QWhatsThisClickedEvent": lambda qt: ("link",),
    "QWidgetAction": lambda qt: (qt.QObject(),),
    "QWidgetItem": lambda qt: (qt.QWidget(),),
}
# No public constructor in Qt, or abstract beyond what a test could fill in, or a device that is not there.
NOT_MADE = {
    "QAbstractTextDocumentLayout",
    "QClipboard",
    "QDragEnterEvent",
    "QDragMoveEvent",
    "QDropEvent",
    "QHoverEvent",
    "QInputEvent",
    "QLibraryInfo",
    "QMouseEvent",
    "QPdfWriter",
    "QScreen",
    "QStandardPaths",
    "QSyntaxHighlighter",
    "QToolTip",
    "QWhatsThis",
    "QWheelEvent",
}
MADE = sorted(set(qt_module.class_names()) - NOT_MADE - APPLICATIONS)


@pytest.fixture
def kept():
    """Objects that others depend on, kept until the test is over."""
    found = []
    yield found
    while found:
        found.pop()


def make(qt, name, kept):
    arguments = ARGUMENTS.get(name, lambda qt: ())(qt)
    kept.extend(arguments)
    made = getattr(qt, name)(*arguments)
    kept.append(made)
    return made


def test_the_walk_covers_the_classes_of_slicer_but_for_a_known_rest():
    assert len(MADE) > 295
    assert set(qt_module.class_names()) >= NOT_MADE | APPLICATIONS | set(ARGUMENTS)


@pytest.mark.parametrize("name", MADE)
def test_an_object_has_its_exact_type_and_refuses_unknown_names(installed_host, name, kept):
    qt = installed_host.qt
    made = make(qt, name, kept)
    assert type(made) is getattr(qt, name)
    assert isinstance(made, getattr(qt, name))
    assert made.className() == name
    assert made.inherits(name)
    with pytest.raises(AttributeError, match=f"^{name} has no attribute named 'noSuchName'$"):
        made.noSuchName  # noqa: B018
    with pytest.raises(AttributeError, match=f"^'noSuchName' does not exist on {name} and creating new attributes"):
        made.noSuchName = 1
    with pytest.raises(AttributeError, match=f"^type object '{name}' has no attribute 'noSuchName'$"):
        getattr(qt, name).noSuchName  # noqa: B018


# Properties that Qt 6 dropped, and one whose getter is abstract: NotImplementedError, never a made-up value.
DROPPED = {
    "margin",
    "autoCompletion",
    "autoCompletionCaseSensitivity",
    "confirmOverwrite",
    "nameFilterDetailsVisible",
    "readOnly",
    "resolveSymlinks",
    "sortCacheEnabled",
    "networkAccessible",
    "tabStopWidth",
    "whatsThis",
    "filterRegExp",
    "curveShape",
    "duration",
    "children",
}


@pytest.mark.parametrize("name", MADE)
def test_every_listed_property_can_be_read_and_every_listed_method_be_reached(installed_host, name, kept):
    made = make(installed_host.qt, name, kept)
    names = names_of(name)
    for own in names.properties:
        try:
            getattr(made, own)
        except NotImplementedError:
            assert own in DROPPED, own
    dropped = 0
    members = names.natives | set(names.slots)
    for own in members:
        try:
            getattr(made, own)
        except NotImplementedError:
            dropped += 1
    assert dropped <= 1 + 0.35 * len(members)
    for own in names.signals:
        assert own in names.properties or getattr(made, own) is not None


@pytest.mark.parametrize("name", [one for one in MADE if "QWidget" in (names_of(one).lineage or ())])
def test_every_widget_can_be_shown_and_hidden(installed_host, name, kept):
    widget = make(installed_host.qt, name, kept)
    if name == "QPrintPreviewDialog":
        pytest.skip("asks for a printer")
    widget.show()
    installed_host.process_events()
    widget.hide()
    installed_host.process_events()
    assert not widget.visible


def test_a_name_that_slicer_does_not_have_is_no_class(installed_host):
    for name in ("QtCore", "QtWidgets", "QTextCodec", "Slot", "Property", "QEnum", "QSinglePointEvent"):
        with pytest.raises(AttributeError):
            getattr(installed_host.qt, name)


def test_names_that_only_qt_6_has_are_refused(installed_host):
    qt = installed_host.qt
    for made, name in (
        (qt.QWidget(), "screen"),
        (qt.QComboBox(), "textHighlighted2"),
        (qt.QColor(), "toExtendedRgb2"),
        (qt.QCheckBox(), "checkStateChanged"),
        (qt.QWidget(), "isCreated"),
        (qt.QLineEdit(), "textMargins2"),
        (qt.QAction(), "setShortcutX"),
    ):
        with pytest.raises(AttributeError):
            getattr(made, name)


def test_what_qt_6_dropped_says_so_instead_of_answering(installed_host):
    with pytest.raises(NotImplementedError, match="Qt 6"):
        installed_host.qt.QDesktopWidget()
    with pytest.raises(NotImplementedError, match="Qt 6"):
        installed_host.qt.QVBoxLayout().margin  # noqa: B018


def test_the_namespace_qt_has_short_enums_only(installed_host):
    qt = installed_host.qt
    assert int(qt.Qt.AlignLeft | qt.Qt.AlignTop) == 0x21
    assert type(qt.Qt.AlignLeft | qt.Qt.AlignTop) is int
    assert qt.Qt.MidButton == 4  # Qt 5's name
    for scope, name in (("AlignmentFlag", "AlignLeft"), ("ItemFlag", "ItemIsEnabled"), ("Key", "Key_Escape")):
        assert getattr(qt.Qt, name) in (1, 32, 0x01000000)
        with pytest.raises(AttributeError):
            getattr(getattr(qt.Qt, scope), name)
    with pytest.raises(AttributeError):
        qt.Qt.noSuchValue  # noqa: B018


def test_enums_of_classes_are_reached_from_class_and_object(installed_host):
    qt = installed_host.qt
    assert qt.QMessageBox.Yes == 0x4000
    assert qt.QAbstractItemView.SelectRows == qt.QTableWidget.SelectRows == 1
    assert qt.QTableWidget().SelectRows == 1
    assert qt.QHeaderView.Stretch == 1
    assert qt.QSizePolicy.Expanding == 7
    assert qt.QProcess.NotRunning == 0
    assert qt.QEvent.Close == 19
    assert qt.QDialogButtonBox.Ok == 1024
    for holder, scope, name in (
        (qt.QMessageBox, "StandardButton", "Yes"),
        (qt.QSizePolicy, "Policy", "Expanding"),
        (qt.QProcess, "ProcessState", "NotRunning"),
    ):
        with pytest.raises(AttributeError):
            getattr(getattr(holder, scope), name)
