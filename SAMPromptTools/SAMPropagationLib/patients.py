"""Which volumes are visits of one patient, and when they were: subject hierarchy, DICOM attributes, sequences."""

import re

import slicer
from SAMPromptCommonLib.modality import volumeModality

_SEQUENCE_ITEM = "SAMPromptTools.sequenceItem"  # attribute of a volume that was taken out of a sequence


def laterVolumes(volumeNode) -> list:
    """Volumes of the same patient that a later study holds, by date; where dates are not known, all others by name.

    The patient is the one of the subject hierarchy, without one everything that belongs to no patient. Volumes of
    another modality, label maps and volumes without voxels are left out.
    """
    if volumeNode is None:
        return []
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volumeNode)
    patient = _patient(hierarchy, item)
    modality = modalityOf(volumeNode)
    others = []
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if node is volumeNode or not isVisit(node) or _patient(hierarchy, hierarchy.GetItemByDataNode(node)) != patient:
            continue
        if modality and modalityOf(node) not in ("", modality):
            continue
        others.append(node)
    begin = visitMoment(volumeNode)
    dated = [node for node in others if visitMoment(node)]
    if begin and dated:
        later = [node for node in dated if visitMoment(node) > begin]
        return sorted(later, key=lambda node: (visitMoment(node), _byName(node)))
    return sorted(others, key=_byName)


def visitsAfter(volumeNode, volumeNodes) -> list:
    """Those of ``volumeNodes`` that come after ``volumeNode``: by date where all dates are known, else by the order of
    the list (all of them when it is not in the list)."""
    nodes = [node for node in volumeNodes if node is not None and node is not volumeNode]
    begin = visitMoment(volumeNode)
    if begin and all(visitMoment(node) for node in nodes):
        return sorted((node for node in nodes if visitMoment(node) > begin), key=visitMoment)
    order = [node for node in volumeNodes if node is not None]
    return order[order.index(volumeNode) + 1 :] if volumeNode in order else nodes


def isVisit(node) -> bool:
    """Whether a node is an image that can be a visit: one component, voxels, no label map."""
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return False
    image = node.GetImageData()
    return image is not None and image.GetNumberOfPoints() > 0 and image.GetNumberOfScalarComponents() == 1


def visitDate(volumeNode) -> str:
    """The study date "YYYY-MM-DD"; "" where it is not known."""
    return visitMoment(volumeNode)[:10]


def visitMoment(volumeNode) -> str:
    """Study date and, where known, time as sortable text ("2021-03-05 101500"); "" where it is not known."""
    date = _studyAttribute(volumeNode, "DICOM.StudyDate")
    found = re.fullmatch(r"\s*(\d{4})[-./]?(\d\d)[-./]?(\d\d)\s*", date)
    if not found:
        return ""
    time = re.match(r"\s*(\d\d):?(\d\d):?(\d\d)?", _studyAttribute(volumeNode, "DICOM.StudyTime"))
    clock = "".join(part or "00" for part in time.groups()) if time else ""
    return f"{'-'.join(found.groups())} {clock}".strip()


def modalityOf(volumeNode) -> str:
    """DICOM's modality ("CT", "MR", ...), upper case; "" where it is not known."""
    if volumeNode is None:
        return ""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volumeNode)
    known = hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""
    return (known or volumeNode.GetAttribute("DICOM.Modality") or "").strip().upper() or _otherwise(volumeNode)


def _otherwise(volumeNode) -> str:
    return volumeModality(volumeNode) if volumeNode.IsA("vtkMRMLScalarVolumeNode") else ""


def volumesOfSequence(sequenceNode) -> list:
    """One volume in the scene per item of a sequence of volumes; made once, found again the next time.

    A sequence keeps its images outside the scene, where no reference reaches them.
    """
    volumes = []
    present = {
        node.GetAttribute(_SEQUENCE_ITEM): node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetAttribute(_SEQUENCE_ITEM)
    }
    for index in range(sequenceNode.GetNumberOfDataNodes()):
        item = sequenceNode.GetNthDataNode(index)
        if not isVisit(item):
            continue
        key = f"{sequenceNode.GetID()}:{sequenceNode.GetNthIndexValue(index)}"
        volumes.append(present.get(key) or _taken(sequenceNode, index, item, key))
    return volumes


def putBeside(node, volumeNode) -> None:
    """Put a node under the same study (or folder) of the subject hierarchy as a volume."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item, place = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volumeNode)
    if item and place:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(place))


def _taken(sequenceNode, index: int, item, key: str):
    value, unit = sequenceNode.GetNthIndexValue(index), sequenceNode.GetIndexUnit() or ""
    node = slicer.mrmlScene.AddNewNodeByClass(item.GetClassName(), f"{sequenceNode.GetName()} {value}{unit}")
    node.CopyContent(item)
    node.SetAttribute(_SEQUENCE_ITEM, key)
    node.CreateDefaultDisplayNodes()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    modality = modalityOf(sequenceNode)
    if modality:
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", modality)
    putBeside(node, sequenceNode)
    return node


def _patient(hierarchy, item) -> int:
    return hierarchy.GetItemAncestorAtLevel(item, "Patient") if item else hierarchy.GetInvalidItemID()


def _studyAttribute(volumeNode, name: str) -> str:
    if volumeNode is None:
        return ""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volumeNode)
    if not item:
        return ""
    return hierarchy.GetAttributeFromItemAncestor(item, name, "Study") or hierarchy.GetItemAttribute(item, name) or ""


def _byName(node) -> list:
    """For sorting: "Visit 2" before "Visit 10"."""
    parts = re.split(r"(\d+)", (node.GetName() or "").casefold())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
