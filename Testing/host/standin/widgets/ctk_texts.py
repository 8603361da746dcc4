"""ctkFittedTextBrowser (as high as its text) and ctkSearchBox."""

from __future__ import annotations

import re
from typing import ClassVar

import qt
from PySide6 import QtCore, QtGui, QtWidgets

from standin.qt_declared import declared

RICH = re.compile(r"<[a-zA-Z/!][^>]*>")


@declared("ctk.ctkFittedTextBrowser")
class ctkFittedTextBrowser(qt.QTextBrowser):
    """A text browser whose height follows its text; text after the teaser can be folded away with a link."""

    _in_defaults: ClassVar = {
        "collapsed": True,
        "showDetailsText": "Show details...",
        "hideDetailsText": "Hide details.",
    }

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._in_teaser = ""
        self._in_kind = "text"
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self, policy.Preferred, policy.Fixed)
        off = QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        QtWidgets.QTextBrowser.setVerticalScrollBarPolicy(self, off)
        QtWidgets.QTextBrowser.setOpenLinks(self, False)
        QtCore.QObject.connect(self, QtCore.SIGNAL("textChanged()"), self.heightForWidthMayHaveChanged)

    def setCollapsibleText(self, text: str) -> None:
        self._in_show(text, "html" if RICH.search(text) else "text")

    def setCollapsibleHtml(self, text: str) -> None:
        self._in_show(text, "html")

    def setCollapsiblePlainText(self, text: str) -> None:
        self._in_show(text, "text")

    def collapsibleText(self) -> str:
        return self._in_teaser

    def _in_show(self, text: str, kind: str) -> None:
        """The first line (or what stands before <br>) is the teaser that stays visible."""
        self._in_teaser, self._in_kind = text, kind
        mark = "<br>" if kind == "html" else "\n"
        teaser, folded, _rest = text.partition(mark)
        shown = teaser if folded and self.collapsed else text
        if kind == "html":
            QtWidgets.QTextBrowser.setHtml(self, shown)
        else:
            QtWidgets.QTextBrowser.setPlainText(self, shown)

    def _in_changed_collapsed(self, collapsed: bool) -> None:
        if self._in_teaser:
            self._in_show(self._in_teaser, self._in_kind)

    def heightForWidthMayHaveChanged(self) -> None:
        height = self._in_height()
        if QtWidgets.QWidget.maximumHeight(self) != height:
            QtWidgets.QWidget.setFixedHeight(self, height)

    def _in_height(self) -> int:
        """As high as the text at the present width."""
        document = QtWidgets.QTextBrowser.document(self).clone()
        frame = 2 * QtWidgets.QFrame.frameWidth(self)
        document.setTextWidth(max(QtWidgets.QWidget.width(self) - frame, 20))
        return int(document.size().height()) + frame

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        QtWidgets.QTextBrowser.resizeEvent(self, event)
        self.heightForWidthMayHaveChanged()


@declared("ctk.ctkSearchBox")
class ctkSearchBox(qt.QLineEdit):
    """A line to search with: a magnifying glass at the left if wanted, a button that clears at the right."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        QtWidgets.QLineEdit.setPlaceholderText(self, "Search...")
        QtWidgets.QLineEdit.setClearButtonEnabled(self, True)
        self._in_glass = None

    def _in_changed_showSearchIcon(self, shown: bool) -> None:
        if shown and self._in_glass is None:
            place = QtWidgets.QLineEdit.ActionPosition.LeadingPosition
            self._in_glass = QtWidgets.QLineEdit.addAction(self, _magnifyingGlass(), place)
        if self._in_glass is not None:
            self._in_glass.setVisible(shown)

    def updateClearButtonState(self) -> None:
        QtWidgets.QWidget.update(self)


def _magnifyingGlass() -> QtGui.QIcon:
    picture = QtGui.QPixmap(32, 32)
    picture.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(picture)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.setPen(QtGui.QPen(QtGui.QColor(110, 110, 110), 3))
    painter.drawEllipse(QtCore.QPointF(13, 13), 8, 8)
    painter.drawLine(19, 19, 27, 27)
    painter.end()
    return QtGui.QIcon(picture)
