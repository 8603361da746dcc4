"""`slicer.ScriptedLoadableModule`: the base classes of a scripted module, its panel, its logic and its self-test.

Behaviour follows Slicer's Base/Python/slicer/ScriptedLoadableModule.py: names, attributes, the order of calls, the
Reload & Test section of developer mode, singleton parameter nodes.
"""

from __future__ import annotations

import importlib
import logging
import os
import unittest
from typing import Any

import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]

PARAMETER_NODE = "vtkMRMLScriptedModuleNode"


class ScriptedLoadableModule:
    """What a module tells about itself, through `self.parent` (a qSlicerScriptedLoadableModule)."""

    def __init__(self, parent: Any) -> None:
        import qt

        super().__init__()
        self.parent = parent
        self.moduleName = self.__class__.__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        for ending in (".svg", ".png"):
            icon = self.resourcePath(f"Icons/{self.moduleName}{ending}")
            if os.path.isfile(icon):
                parent.icon = qt.QIcon(icon)
                break
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the Resources folder beside the module's file."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """A sentence with a link, for the help text."""
        base = slicer.app.documentationBaseUrl
        url = base + docPage if docPage else slicer.app.moduleDocumentationUrl(self.moduleName)
        return f'<p>For more information see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        """Run <module>Test of the module's file. AssertionError when there is none."""
        module = importlib.import_module(self.__module__)
        test_class = getattr(module, f"{self.moduleName}Test", None)
        if test_class is None:
            raise AssertionError(f"Test case class not found: {self.__module__}.{self.moduleName}Test ")
        test = test_class()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel: `self.parent` is the widget it lies in, `self.layout` that widget's layout."""

    def __init__(self, parent: Any = None) -> None:
        import qt

        super().__init__()
        self.moduleName = self.__class__.__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        if parent:
            self.parent = parent
        else:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if not parent:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the Resources folder beside the module's file."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def cleanup(self) -> None:
        """Called before the module is unloaded or reloaded; for the panel to undo what it did."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName != self.moduleName:
            return
        import qt

        self.cleanup()
        if self.developerMode:
            action = self.reloadTestMenuButton.defaultAction()
            qt.QSettings().setValue(f"{self.moduleName}/PreferredReloadAndTestAction", action.objectName)
        slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def setup(self) -> None:
        """The Reload & Test section, in developer mode; the panel's own setup() calls this first."""
        self.setupDeveloperSection()

    def setupDeveloperSection(self) -> None:
        if not self.developerMode:
            return
        import ctk
        import qt

        self.reloadCollapsibleButton = ctk.ctkCollapsibleButton()
        self.reloadCollapsibleButton.text = "Reload && Test"
        self.layout.addWidget(self.reloadCollapsibleButton)
        form = qt.QFormLayout(self.reloadCollapsibleButton)
        self.reloadButton = self._developer_button("Reload", "Reload this module.", self.onReload)
        self.reloadButton.name = "ScriptedLoadableModuleTemplate Reload"
        self.reloadTestMenu = qt.QMenu()
        self.testAction = self._developer_action("Test", "TestAction", self.onTest)
        self.reloadTestAction = self._developer_action("Reload and Test", "ReloadTestAction", self.onReloadAndTest)
        self.reloadTestMenuButton = qt.QToolButton()
        self.reloadTestMenuButton.toolTip = "Test or Reload & Test"
        self.reloadTestMenuButton.name = "ScriptedLoadableModuleTemplate Testing"
        self.reloadTestMenuButton.setMenu(self.reloadTestMenu)
        key = f"{self.moduleName}/PreferredReloadAndTestAction"
        preferred = qt.QSettings().value(key, self.reloadTestAction.objectName)
        chosen = self.testAction if self.testAction.objectName == preferred else self.reloadTestAction
        self.reloadTestMenuButton.setDefaultAction(chosen)
        self.editSourceButton = self._developer_button("Edit", "Edit the module's source code.", self.onEditSource)
        self.restartButton = self._developer_button("Restart Slicer", "Restart Slicer", slicer.app.restart)
        self.restartButton.name = "ScriptedLoadableModuleTemplate Restart"
        row = qt.QHBoxLayout()
        for widget in (self.reloadButton, self.reloadTestMenuButton, self.editSourceButton, self.restartButton):
            row.addWidget(widget)
        form.addRow(row)

    def _developer_button(self, text: str, tip: str, slot: Any) -> Any:
        import qt

        button = qt.QPushButton(text)
        button.toolTip = tip
        button.connect("clicked()", slot)
        return button

    def _developer_action(self, text: str, name: str, slot: Any) -> Any:
        import qt

        action = qt.QAction(text, self.reloadTestMenu)
        action.setObjectName(name)
        action.connect("triggered()", slot)
        self.reloadTestMenu.addAction(action)
        return action

    def onReload(self) -> None:
        """Reload the module's file and make the panel anew."""
        print(f"Reloading module: {self.moduleName}")
        slicer.util.reloadScriptedModule(self.moduleName)

    def onTest(self, **kwargs: Any) -> None:
        """Run the self-test."""
        self.reloadTestMenuButton.setDefaultAction(self.testAction)
        with slicer.util.tryWithErrorDisplay("Test failed."):
            slicer.selfTests[self.moduleName](msec=_message_delay(), **kwargs)

    def onReloadAndTest(self, **kwargs: Any) -> None:
        """Reload, then run the self-test."""
        self.reloadTestMenuButton.setDefaultAction(self.reloadTestAction)
        with slicer.util.tryWithErrorDisplay("Reload and Test failed."):
            self.onReload()
            slicer.selfTests[self.moduleName](msec=_message_delay(), **kwargs)

    def onEditSource(self) -> None:
        raise NotImplementedError("the stand-in opens no editor")


def _message_delay() -> int:
    """Developer/SelfTestDisplayMessageDelay; by default so short that no message window opens."""
    return int(slicer.app.userSettings().value("Developer/SelfTestDisplayMessageDelay", 100))


class ScriptedLoadableModuleLogic:
    """Finds and makes the module's parameter nodes; a panel's logic derives from it."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = self.__class__.__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The module's parameter node; made when the scene has none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, PARAMETER_NODE)
            if node:
                # Closing the scene keeps the singleton and may take this attribute from it.
                if node.GetAttribute("ModuleName") != self.moduleName:
                    node.SetAttribute("ModuleName", self.moduleName)
                return node
        elif nodes := self.getAllParameterNodes():
            return nodes[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list:
        """All parameter nodes of this module in the scene."""
        scene = slicer.mrmlScene
        nodes = (
            scene.GetNthNodeByClass(i, PARAMETER_NODE) for i in range(scene.GetNumberOfNodesByClass(PARAMETER_NODE))
        )
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        """A new parameter node that is not in the scene yet."""
        if slicer.mrmlScene is None:
            return None
        node = slicer.mrmlScene.CreateNodeByClass(PARAMETER_NODE)
        node.UnRegister(None)  # the Python variable owns it now
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The self-test: a unittest.TestCase whose runTest() calls the cases."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        super(unittest.TestCase, self).__init__()
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Show a message for a while (log it, when the time is short) and let events run."""
        msec = getattr(self, "messageDelay", msec)
        msec = requestedDelay if msec is None else msec
        slicer.util.delayDisplay(message, 100 if msec is None else msec)

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:
        self.delayDisplay(description)
        if self.enableScreenshots:
            raise NotImplementedError("the stand-in has no screenshot module")

    def runTest(self) -> None:
        """Cases to run; to be written by the module."""
        logging.warning("No test is defined in %s", self.__class__.__name__)
