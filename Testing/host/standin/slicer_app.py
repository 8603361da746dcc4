"""`slicer.app`: what qSlicerApplication has, and nothing else.

Its members were read in Slicer's Base/QTCore/qSlicerCoreApplication.h and Base/QTGUI/qSlicerApplication.h (see
assumptions_application.md); anything else raises, as in PythonQt.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from standin.slicer_strict import CppObject


class CommandOptions(CppObject):
    """qSlicerCommandOptions: only what a panel asks."""

    _in_class = "qSlicerCommandOptions"
    _in_members = frozenset(("noSplash", "exitAfterStartup", "disableSettings", "modulesToIgnore", "pythonScript"))
    _in_writable = frozenset(("runPythonAndExit",))

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer
        self.runPythonAndExit = False

    @property
    def noMainWindow(self) -> bool:
        return not self._in_layer.host.main_window

    @property
    def testingEnabled(self) -> bool:
        return self._in_layer.host.testing


class ExtensionsManagerModel(CppObject):
    """qSlicerExtensionsManagerModel of an application without extensions, but for those a test names."""

    _in_class = "qSlicerExtensionsManagerModel"
    _in_members = frozenset(
        ("installedExtensions", "downloadAndInstallExtensionByName", "updateExtensionsMetadataFromServer",
         "installExtensionFromServer", "interactive", "extensionsInstallPath")
    )  # fmt: skip

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self._in_layer.host.extensions


class Application(CppObject):
    """qSlicerApplication as Python sees it."""

    _in_class = "qSlicerApplication"
    _in_signals = (
        "aboutToQuit()",
        "startupCompleted()",
        "mainWindowShown()",
        "mrmlSceneChanged(vtkMRMLScene*)",
        "focusChanged(QWidget*,QWidget*)",
        "lastWindowClosed()",
        "paletteChanged(QPalette)",
    )
    _in_members = frozenset(
        (
            "errorLogModel", "pythonManager", "pythonConsole", "settingsDialog", "openExtensionsManagerDialog",
            "openNodeModule", "confirmRestart", "handleCommandLineArguments", "currentLogFile", "recentLogFiles",
            "numberOfRecentLogFilesToStore", "setupFileLogging", "launchDesigner", "toSlicerHomeAbsolutePath",
            "toSlicerHomeRelativePath", "revisionUserSettings", "revisionUserSettingsFilePath",
            "setMRMLScene", "applicationInformation", "isEmbeddedModule", "executableExtension", "libraries",
            "copyrights", "acknowledgment", "loadCaCertificates", "caCertificatesPath", "extensionsInstallPath",
            "palette", "font", "beep", "setStyleSheet", "styleSheet", "style", "desktop", "platformName",
        )
    )  # fmt: skip
    _in_writable = frozenset(("temporaryPath",))

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer
        self._in_options = CommandOptions(layer)
        self._in_extensions = ExtensionsManagerModel(layer)
        self._in_rendering_paused = 0

    # What the application is.

    @property
    def applicationName(self) -> str:
        return "Slicer"

    @property
    def mainApplicationName(self) -> str:
        return "Slicer"

    @property
    def applicationVersion(self) -> str:
        return {"5.8": "5.8.1-2025-03-02", "5.12": "5.12.0-2026-08-01"}[self._in_layer.host.version]

    @property
    def majorVersion(self) -> int:
        return int(self._in_layer.host.version.split(".")[0])

    @property
    def minorVersion(self) -> int:
        return int(self._in_layer.host.version.split(".")[1])

    @property
    def revision(self) -> str:
        return {"5.8": "33241", "5.12": "34600"}[self._in_layer.host.version]

    @property
    def repositoryRevision(self) -> str:
        return "0000000"

    @property
    def os(self) -> str:
        return {"win32": "win", "darwin": "macosx"}.get(sys.platform, "linux")

    @property
    def arch(self) -> str:
        return "amd64"

    @property
    def platform(self) -> str:
        return f"{self.os}-{self.arch}"

    @property
    def isInstalled(self) -> bool:
        return True

    @property
    def intDir(self) -> str:
        return "."

    @property
    def slicerHome(self) -> str:
        return str(self._in_layer.home)

    @property
    def startupWorkingPath(self) -> str:
        return os.getcwd()

    @property
    def temporaryPath(self) -> str:
        return self._in_layer.scene.application_logic.GetTemporaryPath()

    @temporaryPath.setter
    def temporaryPath(self, path: str) -> None:
        if not isinstance(path, str):
            raise AttributeError(
                "Property 'temporaryPath' of type 'QString' does not accept an object of type "
                f"{type(path).__name__} ({path!r})"
            )
        self._in_layer.scene.application_logic.SetTemporaryPath(path)

    @property
    def slicerUserSettingsFilePath(self) -> str:
        return self._in_layer.settings_object().fileName()

    @property
    def documentationBaseUrl(self) -> str:
        return "https://slicer.readthedocs.io/en/latest"

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}/user_guide/modules/{name.lower()}.html"

    # What it consists of.

    def applicationLogic(self) -> Any:
        return self._in_layer.scene.application_logic

    def mrmlScene(self) -> Any:
        return self._in_layer.scene.scene

    def moduleManager(self) -> Any:
        return self._in_layer.module_manager

    def moduleLogic(self, name: str) -> Any:
        return self._in_layer.scene.logics.get(name)

    def coreIOManager(self) -> Any:
        return self._in_layer.io_manager

    def ioManager(self) -> Any:
        return self._in_layer.io_manager

    def layoutManager(self) -> Any:
        """None without a main window."""
        return self._in_layer.layout_manager

    def mainWindow(self) -> Any:
        return self._in_layer.main_window

    def commandOptions(self) -> CommandOptions:
        return self._in_options

    def coreCommandOptions(self) -> CommandOptions:
        return self._in_options

    def extensionsManagerModel(self) -> ExtensionsManagerModel:
        return self._in_extensions

    def settings(self) -> Any:
        return self._in_layer.settings_object()

    def userSettings(self) -> Any:
        return self._in_layer.settings_object()

    def startupEnvironment(self) -> Any:
        """The environment of the one who started Slicer: without the paths that the launcher put in front."""
        return self._in_layer.host.qt.QProcessEnvironment.systemEnvironment()

    # What it does.

    def testingEnabled(self) -> bool:
        return self._in_layer.host.testing

    def testAttribute(self, _attribute: int) -> bool:
        return False

    def processEvents(self, *arguments: Any) -> None:
        self._in_layer.host.qt.QApplication.processEvents(*arguments)

    def translate(self, _context: str, text: str, *_disambiguation: Any) -> str:
        return text

    def pauseRender(self) -> None:
        self._in_rendering_paused += 1
        self.applicationLogic().PauseRender()

    def resumeRender(self) -> None:
        self._in_rendering_paused -= 1
        self.applicationLogic().ResumeRender()

    def setRenderPaused(self, paused: bool) -> None:
        (self.pauseRender if paused else self.resumeRender)()

    def isRenderPaused(self) -> bool:
        return self._in_rendering_paused > 0

    def topLevelWidgets(self) -> Any:
        return self._in_layer.host.qt.QApplication.topLevelWidgets()

    def allWidgets(self) -> Any:
        return self._in_layer.host.qt.QApplication.allWidgets()

    def focusWidget(self) -> Any:
        return self._in_layer.host.qt.QApplication.focusWidget()

    def activeWindow(self) -> Any:
        return self._in_layer.host.qt.QApplication.activeWindow()

    def activeModalWidget(self) -> Any:
        return self._in_layer.host.qt.QApplication.activeModalWidget()

    def clipboard(self) -> Any:
        return self._in_layer.host.qt.QApplication.clipboard()

    def keyboardModifiers(self) -> Any:
        return self._in_layer.host.qt.QApplication.keyboardModifiers()

    def setOverrideCursor(self, cursor: Any) -> None:
        self._in_layer.host.qt.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        self._in_layer.host.qt.QApplication.restoreOverrideCursor()

    def restart(self) -> None:
        self._in_layer.host.requests.append(("restart",))

    def exit(self, code: int = 0) -> None:
        self._in_layer.host.requests.append(("exit", code))

    def quit(self) -> None:
        self._in_layer.host.requests.append(("exit", 0))
