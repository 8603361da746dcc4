"""Who owns what: parents, layouts, items; objects that go while Python holds them; a clean end of the process."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

HOST = Path(__file__).resolve().parents[1]


@pytest.fixture
def qt(installed_host):
    yield installed_host.qt
    gc.collect()
    installed_host.process_events()


def test_a_child_lives_as_long_as_its_parent(qt):
    box = qt.QWidget()
    qt.QPushButton("x", box).objectName = "inner"
    gc.collect()
    assert box.findChild("QPushButton", "inner").text == "x"
    inner = box.findChild("QPushButton", "inner")
    box.delete()
    assert not inner
    assert not box


def test_a_widget_in_a_layout_belongs_to_the_layouts_widget(qt):
    box = qt.QWidget()
    box.setLayout(qt.QVBoxLayout())
    for index in range(50):
        box.layout().addWidget(qt.QLabel(str(index)))
    gc.collect()
    assert [one.text for one in box.findChildren("QLabel")] == [str(index) for index in range(50)]
    assert box.layout().itemAt(3).widget().text == "3"
    assert box.layout().itemAt(3).widget().parent() is box


def test_items_live_in_their_table_and_die_with_it(qt):
    table = qt.QTableWidget(1, 1)
    item = qt.QTableWidgetItem("a")
    table.setItem(0, 0, item)
    watched = weakref.ref(item)
    del item
    gc.collect()
    assert table.item(0, 0) is watched()
    held = table.item(0, 0)
    table.clear()
    assert not held
    with pytest.raises(ValueError, match="destroyed QTableWidgetItem"):
        held.text()


def test_a_destroyed_object_is_false_and_every_use_of_it_an_error(qt, installed_host):
    dialog = qt.QDialog()
    dialog.deleteLater()
    assert dialog  # not before the events run
    installed_host.process_events()
    assert not dialog
    with pytest.raises(ValueError, match="Trying to read property 'windowTitle' from a destroyed QDialog object"):
        dialog.windowTitle  # noqa: B018
    with pytest.raises(AttributeError, match="Trying to set property 'windowTitle' on a destroyed QDialog object"):
        dialog.windowTitle = "x"
    with pytest.raises(ValueError, match="Trying to call 'show' on a destroyed QDialog object"):
        dialog.show()
    with pytest.raises(ValueError, match="destroyed QDialog object"):
        qt.QWidget().setFocusProxy(dialog)
    assert "nil" in repr(dialog)


def test_a_method_kept_from_a_destroyed_object_does_not_reach_it(qt, installed_host):
    widget = qt.QWidget()
    show = widget.show
    widget.deleteLater()
    installed_host.process_events()
    with pytest.raises((ValueError, RuntimeError)):
        show()


def test_objects_that_qt_made_may_be_fetched_and_dropped_ten_thousand_times(qt):
    table = qt.QTableWidget(2, 2)
    references = sys.getrefcount(qt.QSize), sys.getrefcount(qt.QHeaderView), sys.getrefcount(qt.QFont)
    for _ in range(10_000):
        table.size  # noqa: B018
        table.font  # noqa: B018
        table.model().index(0, 0)
        table.horizontalHeader()
    gc.collect()
    after = sys.getrefcount(qt.QSize), sys.getrefcount(qt.QHeaderView), sys.getrefcount(qt.QFont)
    assert all(abs(now - before) < 20 for now, before in zip(after, references, strict=True))


def test_a_part_that_outlives_its_whole_is_dead_and_harmless(qt):
    parts = []
    for _ in range(50):
        table = qt.QTableWidget(2, 2)
        parts += [table.horizontalHeader(), table.viewport(), table.selectionModel(), table.verticalScrollBar()]
        del table
        gc.collect()
    assert not any(parts)
    del parts
    gc.collect()
    again = [qt.QTableWidget(2, 2) for _ in range(50)]  # at the same addresses, as like as not
    assert all(table.horizontalHeader() and table.viewport().size is not None for table in again)


def test_deleting_a_widget_twice_or_with_children_held_is_safe(qt, installed_host):
    box = qt.QWidget()
    layout = qt.QGridLayout(box)
    children = [qt.QSpinBox() for _ in range(9)]
    for index, child in enumerate(children):
        layout.addWidget(child, index // 3, index % 3)
    box.deleteLater()
    box.deleteLater()
    installed_host.process_events()
    assert not any([box, layout, *children])


def test_no_garbage_is_collected_while_qt_looks_for_an_overridden_method(qt, installed_host):
    """Else a widget whose last owner is garbage is destroyed in the midst of its own event: the application crashed."""

    class Panel(qt.QWidget):
        def resizeEvent(self, event):
            [[] for _ in range(50)]

    collected_in = []

    def watch(phase, information):
        frame = sys._getframe(1)
        while frame is not None:
            collected_in.append(frame.f_code.co_qualname)
            frame = frame.f_back

    threshold = gc.get_threshold()
    gc.callbacks.append(watch)
    gc.set_threshold(1)
    try:
        panel = Panel()
        layout = qt.QVBoxLayout(panel)
        for kind in (qt.QGroupBox, qt.QComboBox, qt.QTableWidget, qt.QSpinBox):
            layout.addWidget(kind())
        panel.resize(300, 200)
        panel.show()
        installed_host.process_events()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(watch)
    assert "Host.process_events" in collected_in  # it was collected often enough to tell
    assert not {"Manners._in_answer", "called_by_qt.<locals>.run"} & set(collected_in)


SCRIPTS = {
    "widgets left alive": """
box = qt.QWidget(); layout = qt.QVBoxLayout(box)
table = qt.QTableWidget(3, 3); layout.addWidget(table)
header = table.horizontalHeader(); model = table.selectionModel()
table.setItem(0, 0, qt.QTableWidgetItem("a")); item = table.item(0, 0)
box.show(); qt.QApplication.processEvents()
""",
    "connections to lambdas and timers running": """
button = qt.QPushButton(); button.connect("clicked()", lambda: button.text); button.clicked.connect(button.click)
timer = qt.QTimer(); timer.connect("timeout()", lambda: None); timer.start(0)
qt.QTimer.singleShot(100000, lambda: button.click())
qt.QApplication.processEvents()
""",
    "parts that outlived their whole": """
parts = []
for _ in range(20):
    table = qt.QTableWidget(2, 2); parts.append(table.horizontalHeader()); parts.append(table.viewport())
del table
dialog = qt.QDialog(); dialog.deleteLater(); qt.QApplication.processEvents()
""",
    "a derived class with overridden methods": """
class Panel(qt.QWidget):
    def __init__(self): qt.QWidget.__init__(self); self.me = self
    def paintEvent(self, event): pass
    def closeEvent(self, event): event.accept()
    def eventFilter(self, watched, event): return False
panel = Panel(); panel.installEventFilter(panel); panel.show(); qt.QApplication.processEvents()
""",
    "a child process that still runs": """
process = qt.QProcess(); process.start("/bin/sh", ["-c", "sleep 0.2"]); process.waitForStarted(5000)
""",
    "a hundred thousand calls that answer None": """
spin = qt.QSpinBox()
for number in range(100_000): spin.setValue(number % 7)
""",
    "every class of Qt's widgets": """
from standin.qt_names import names_of
kept = []
for name in dir(qt):
    if "QWidget" in getattr(names_of(name), "lineage", ()):
        try: kept.append(getattr(qt, name)())
        except (ValueError, NotImplementedError): pass
assert len(kept) > 60
""",
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_the_process_ends_cleanly_with(what):
    script = "import sys\nfrom standin import qt_module\nqt = qt_module.build()\n" + SCRIPTS[what] + "\nprint('end')"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script], cwd=HOST, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("end")
