"""The panel "Patient Propagation": puts its sections together and binds them to the scene. No computing here."""

import logging
import traceback

import qt
import slicer
import vtk
from samprompt.contract.errors import SamPromptError
from SAMPromptCommonLib.client import WorkerClient
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SAMPropagationLib.advanced_section import AdvancedSection
from SAMPropagationLib.baseline_section import BaselineSection
from SAMPropagationLib.binding import Binding
from SAMPropagationLib.device_section import DeviceSection
from SAMPropagationLib.empty_section import EmptySection
from SAMPropagationLib.followups_section import FollowUpsSection
from SAMPropagationLib.message_widget import MessageBox
from SAMPropagationLib.model_section import ModelSection
from SAMPropagationLib.results_section import ResultsSection
from SAMPropagationLib.run_section import RunSection

PARAMETER = "SlicerParameterName"  # property of a widget: the member of the parameter node that it shows
UPDATE_MS = 30  # loading a scene tells of every node: the panel is filled once after that


class PropagationPanel(VTKObservationMixin):
    """The widgets of the module, below ``widget``.

    ``logic`` is a ``SAMPropagationLogic``, ``client`` the ``WorkerClient`` whose state is shown (the shared one by
    default). ``parameters`` is the wrapped parameter node while the panel is open and a scene is there, else None.
    Sections read it and the logic in ``update`` and write what the user chooses into it.

    Example::

        panel = PropagationPanel(SAMPropagationLogic(), resourcePath("UI/SAMPropagation.ui"))
        layout.addWidget(panel.widget)
        panel.enter()
    """

    def __init__(self, logic, uiPath, client=None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic, self.client = logic, client or WorkerClient.shared()
        self.parameters = None
        self.isOpen = False
        self._binding = None
        self.sections = ()
        self.widget = slicer.util.loadUI(uiPath)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        # Now, while all are there: Qt deletes parts of its own widgets, which are among the children as well.
        widgets = [each for each in vars(self.ui).values() if each.property(PARAMETER)]
        self._named = {each.property(PARAMETER): each for each in widgets}
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(UPDATE_MS)
        self._timer.connect("timeout()", self.onTimer)
        self.messages = MessageBox(self)
        self.model = ModelSection(self)
        self.runs = RunSection(self)
        self.results = ResultsSection(self)
        self.baseline = BaselineSection(self)
        self.followUps = FollowUpsSection(self)
        self.device = DeviceSection(self)
        self.advanced = AdvancedSection(self)
        self.sections = (
            EmptySection(self),
            self.baseline,
            self.followUps,
            self.model,
            self.device,
            self.advanced,
            self.runs,
            self.results,
            self.messages,
        )
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
            self.addObserver(scene, event, self.onSceneChanged)
        for event in (scene.EndImportEvent, scene.EndRestoreEvent):
            self.addObserver(scene, event, self.onSceneReplaced)
        self.enter()  # a module that is reloaded while it is open is not entered again

    # --- life ---------------------------------------------------------------------------------------------------------
    def enter(self) -> None:
        """The user opened the panel; calling it again does no harm."""
        self.isOpen = True
        self.model.read()
        self.client.addUser(self)
        self.connectParameters()

    def exit(self) -> None:
        """The user went to another module; a run goes on."""
        self.isOpen = False
        self.disconnectParameters()
        self.client.removeUser(self)

    def sceneStartClose(self) -> None:
        """The scene is about to be closed."""
        self.disconnectParameters()
        self.messages.clear()
        self.updateAll()

    def sceneEndClose(self) -> None:
        """The scene was closed."""
        self.onSceneReplaced()

    def cleanup(self) -> None:
        """Slicer ends, or the module is reloaded: leave nothing behind."""
        self.isOpen = False
        self.disconnectParameters()
        self.client.removeUser(self)
        for section in self.sections:
            section.cleanup()
        self.sections = ()
        self.removeObservers()

    # --- the parameter node -------------------------------------------------------------------------------------------
    def connectParameters(self) -> None:
        """Show and change the scene's parameter node."""
        self.disconnectParameters()
        self.parameters = self.logic.getParameterNode()
        self._binding = Binding(self.parameters, self._named)
        node = self.parameters.parameterNode
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.onSceneChanged)
        self.updateAll()

    def disconnectParameters(self) -> None:
        """Let go of the parameter node."""
        self._timer.stop()
        if self.parameters is not None:
            node = self.parameters.parameterNode
            self.removeObserver(node, vtk.vtkCommand.ModifiedEvent, self.onSceneChanged)
            self._binding.undo()
            self.parameters = self._binding = None

    def onSceneReplaced(self, caller=None, event=None) -> None:
        """Another scene is there now."""
        if self.isOpen and self.sections:
            self.connectParameters()

    def onSceneChanged(self, caller=None, event=None) -> None:
        """Something that the panel shows may have changed."""
        self.scheduleUpdate()

    # --- for the sections ---------------------------------------------------------------------------------------------
    def window(self):
        """Parent of dialogs: the main window, where there is one."""
        return slicer.util.mainWindow() or self.widget.window()

    def scheduleUpdate(self) -> None:
        """Show everything as it is now, soon; many calls become one."""
        if self.sections and self.isOpen and not self._timer.active:
            self._timer.start()

    def onTimer(self) -> None:
        """The time for an update has come; not while a scene is loaded or closed, of which half is there."""
        if slicer.mrmlScene.IsBatchProcessing():
            self._timer.start()
        else:
            self.updateAll()

    def updateAll(self) -> None:
        """Show everything as it is now."""
        self._timer.stop()
        for section in self.sections:
            self.attempt(section.update)
        if self.parameters is not None:
            self.device.startWhenUseful()

    def attempt(self, action) -> None:
        """Do what a click asked for; what goes wrong is said in the panel."""
        try:
            action()
        except SamPromptError as error:
            self.messages.showError(error.message, error.hint)
        except Exception as error:
            logging.exception("Patient Propagation")
            self.messages.showError(
                _("Something went wrong in the panel: {reason}").format(reason=error or type(error).__name__),
                _("Please report this, with the details."),
                traceback.format_exc(),
            )
