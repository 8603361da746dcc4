"""The demo patient in the scene: synthetic, made by the worker on this computer, nothing is downloaded."""

import time
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import qt
import slicer
from samprompt.contract.errors import SamPromptError
from samprompt.contract.wire import from_data
from samprompt.contract.worker import SamplePatientJob, SamplePatientValue
from SAMPromptCommonLib import folders
from slicer.i18n import tr as _

from SAMPropagationLib.overlay import orientedImage
from SAMPropagationLib.provenance import PackedMask

PATIENT = "SAMPromptTools demo patient"
_FIRST_VISIT = date(2025, 1, 6)  # of nobody: dates show how visits are found and drawn over time
_BETWEEN = timedelta(days=56)


@dataclass(frozen=True)
class SamplePatient:
    """Nodes of the demo patient."""

    baseline: object
    contours: object
    followUps: tuple


def makeSamplePatient(client=None, followUps: int = 3, seed: int = 1, timeout: float = 300.0):
    """Make the demo patient and load it: a ``SamplePatient``, None when the user cancelled.

    ``client`` is a ``WorkerClient``, the shared one by default. The same ``seed`` gives the same patient. Events are
    processed meanwhile, and a progress dialog is shown where there is a main window.

    Raises:
        SamPromptError: the worker could not make it.
        TimeoutError: not ready after ``timeout`` seconds.
    """
    if client is None:
        from SAMPromptCommonLib.client import WorkerClient

        client = WorkerClient.shared()
    folder = folders.privateFolder("sample")
    job = client.submit("sample-patient", SamplePatientJob(str(folder), followUps, seed))
    try:
        result = _waitFor(job, client, timeout)
        if result is None:
            return None
        return _load(from_data(SamplePatientValue, result.value))
    finally:
        folders.removeFolder(folder)


def _waitFor(job, client, timeout: float):
    """What the worker answers; None when the user cancelled."""
    ended = []
    job.finished.connect(ended.append)
    job.failed.connect(ended.append)
    dialog = _Dialog()
    job.progressed.connect(dialog.show)
    until = time.monotonic() + timeout
    try:
        while not ended:
            slicer.app.processEvents()
            late = time.monotonic() > until
            if dialog.wasCancelled or late:
                # The folder goes when we leave, so the worker has to be out of it before.
                client.cancel(job)
                while not ended:
                    slicer.app.processEvents()
                    time.sleep(0.005)
                if late:
                    raise TimeoutError(_("The demo patient was not ready after {seconds} s.").format(seconds=timeout))
                return None
            time.sleep(0.005)
    finally:
        dialog.close()
    answer = ended[0]
    if answer.type == "error":
        if answer.code == "cancelled":
            return None
        raise SamPromptError(answer.message, answer.hint)
    return answer


class _Dialog:
    """Progress with a Cancel button; nothing without a main window."""

    def __init__(self) -> None:
        self._dialog = None
        if slicer.util.mainWindow() is not None:
            self._dialog = slicer.util.createProgressDialog(
                labelText=_("Making the demo patient..."), windowTitle=PATIENT, windowModality=qt.Qt.WindowModal
            )

    @property
    def wasCancelled(self) -> bool:
        return self._dialog is not None and self._dialog.wasCanceled

    def show(self, message) -> None:
        if self._dialog is not None and message.total:
            # Not the maximum: reaching it would close the dialog before the patient is loaded.
            self._dialog.value = min(99, round(100 * message.done / message.total))

    def close(self) -> None:
        dialog, self._dialog = self._dialog, None
        if dialog is not None:
            dialog.close()
            dialog.deleteLater()


def _load(patient: SamplePatientValue) -> SamplePatient:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    person = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), PATIENT)
    visits = []
    for number, visit in enumerate((patient.baseline, *patient.followups)):
        day = _FIRST_VISIT + number * _BETWEEN
        study = hierarchy.CreateStudyItem(person, _("CT of {date}").format(date=day.isoformat()))
        hierarchy.SetItemAttribute(study, "DICOM.StudyDate", day.strftime("%Y%m%d"))
        visits.append(_volume(visit.volume, study))
    contours = _contours(patient.baseline, visits[0])
    slicer.util.setSliceViewerLayers(background=visits[0], foreground=None, label=None, fit=True)
    return SamplePatient(visits[0], contours, tuple(visits[1:]))


def _volume(message, study: int):
    array = np.load(message.array, allow_pickle=False)
    name = slicer.mrmlScene.GenerateUniqueName(message.name)
    node = slicer.util.addVolumeFromArray(array, np.array(message.grid.ijk_to_ras).reshape(4, 4), name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(400, 40)  # soft tissue
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    hierarchy.SetItemParent(item, study)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", message.modality)
    return node


def _contours(visit, volume):
    name = _("Contours of {visit}").format(visit=volume.GetName())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    source = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    node.GetSegmentation().SetSourceRepresentationName(source)
    matrix = np.array(visit.volume.grid.ijk_to_ras).reshape(4, 4)
    for structure in visit.structures:
        if not structure.array:
            continue
        mask = np.load(structure.array, allow_pickle=False).astype(bool)
        segment = slicer.vtkSegment()
        segment.SetName(structure.name)
        segment.SetColor(*structure.color)
        if structure.terminology:
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.terminology)
        segment.AddRepresentation(source, orientedImage(PackedMask(mask, structure.offset, matrix, False)))
        node.GetSegmentation().AddSegment(segment)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    return node
