"""A scripted module as the tests of the stand-in load it: it writes down in which order it is called."""

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

calls = []


class StandInProbe(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Stand-in probe")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.contributors = ["Nobody"]
        parent.helpText = _("A probe.") + self.getDefaultModuleDocumentationLink()


@parameterNodeWrapper
class StandInProbeParameters:
    threads: int = 2
    volume: slicer.vtkMRMLScalarVolumeNode


class StandInProbeWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        calls.append("setup")
        self.logic = StandInProbeLogic()
        self.button = qt.QPushButton("Press")
        self.button.objectName = "probeButton"
        self.layout.addWidget(self.button)
        self.threads = qt.QSpinBox()
        self.layout.addWidget(self.threads)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneClose)

    def enter(self):
        calls.append("enter")
        self.parameters = self.logic.getParameterNode()
        self.tag = self.parameters.connectParametersToGui({"threads": self.threads})

    def exit(self):
        calls.append("exit")
        if self.parameters is not None:
            self.parameters.disconnectGui(self.tag)
            self.parameters = None

    def cleanup(self):
        calls.append("cleanup")
        self.removeObservers()

    def onSceneClose(self, caller, event):
        calls.append("scene")


class StandInProbeLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return StandInProbeParameters(super().getParameterNode())


class StandInProbeTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.setUp()
        self.test_arithmetic()

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_arithmetic(self):
        self.delayDisplay("counting")
        self.assertEqual(6 * 7, 42)  # noqa: PT009 - a self-test is a unittest.TestCase
        calls.append("tested")
