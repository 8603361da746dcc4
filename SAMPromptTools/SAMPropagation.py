"""Slicer module "Patient Propagation": carries the contours of a first visit to the patient's later visits."""

import importlib
import sys
from pathlib import Path

import slicer
from SAMPropagationLib.logic import SAMPropagationLogic
from SAMPropagationLib.selftest import SAMPropagationTest
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

__all__ = ["SAMPropagation", "SAMPropagationLogic", "SAMPropagationTest", "SAMPropagationWidget"]


class SAMPropagation(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Patient Propagation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SubjectHierarchy", "Markups", "Plots"]
        parent.contributors = ["SAMPromptTools contributors"]
        parent.helpText = _(
            "Carries the contours of a patient's first visit to the later visits with promptable segmentation models, "
            "and says which results to check first. <b>Research use only: not for diagnosis or treatment.</b><br><br>"
            "Choose the baseline, its segmentation and the later visits, press Apply, look at what is flagged, correct "
            "it, accept it as a further reference, and carry on from there."
        )
        link = '<p><a href="https://github.com/SAMPromptTools/SAMPromptTools#readme">{text}</a></p>'
        parent.helpText += link.format(text=_("Tutorial, methods and scripting"))
        parent.acknowledgementText = _(
            "Builds on Segment Anything (Meta AI, Apache-2.0), P2SAM and PerSAM. The built-in model was trained on "
            "synthetic images only. Research use only."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


class SAMPropagationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Makes the panel and tells it what happens to the module and to the scene."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self) -> None:
        """Called once, when the module is opened for the first time."""
        from SAMPropagationLib.widget import PropagationPanel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = SAMPropagationLogic()
        self.panel = PropagationPanel(self.logic, self.resourcePath("UI/SAMPropagation.ui"))
        self.layout.addWidget(self.panel.widget)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.EndCloseEvent, self._onSceneEndClose)

    def enter(self) -> None:
        """Called each time the module is opened."""
        if self.panel is not None:  # setup may have failed
            self.panel.enter()

    def exit(self) -> None:
        """Called each time another module is opened."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """Called when Slicer ends and before the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
        if self.logic is not None:
            self.logic.cleanup()

    def onReload(self) -> None:
        """Developer's Reload: the libraries as well, else nothing that was changed in them would be seen."""
        self.cleanup()
        reloadLibraries()
        ScriptedLoadableModuleWidget.onReload(self)

    def _onSceneStartClose(self, caller, event) -> None:
        if self.panel is not None:
            self.panel.sceneStartClose()

    def _onSceneEndClose(self, caller, event) -> None:
        if self.panel is not None:
            self.panel.sceneEndClose()


def reloadLibraries() -> None:
    """Forget the libraries, so that they are imported afresh; the shared worker's client ends with its old class."""
    for name in [each for each in sys.modules if each.partition(".")[0] in ("SAMPropagationLib", "SAMPromptCommonLib")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def registerSampleData() -> None:
    """Offer the demo patient in the Sample Data module; it is made on this computer, nothing is downloaded."""
    import SampleData

    icons = Path(__file__).parent / "Resources" / "Icons"
    pictures = [icons / name for name in ("SAMPropagationSample.png", "SAMPropagation.png")]
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SAMPromptTools",
        sampleName="SAMPromptTools demo patient",
        # No address: the "downloader" makes it. Sample Data wants one of each all the same.
        uris="",
        fileNames="SAMPromptToolsDemoPatient",
        nodeNames="SAMPromptToolsDemoPatient",
        customDownloader=_makeSamplePatient,
        thumbnailFileName=next((str(path) for path in pictures if path.is_file()), None),
    )


def _makeSamplePatient(source):
    from SAMPropagationLib.sample import makeSamplePatient

    with slicer.util.tryWithErrorDisplay(_("The demo patient could not be made.")):
        return makeSamplePatient()
