"""`slicer.app.coreIOManager()`: reading and writing files through the readers of MRML and of the module logics.

slicer.util.loadVolume, loadSegmentation, loadScene, saveScene, saveNode and their like call only what is here. What
each reader does follows qSlicerVolumesReader, qSlicerSegmentationsReader, qSlicerSceneReader and their writers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import slicer
import vtk

from standin.slicer_strict import CppObject

TYPES = (
    ("SegmentationFile", (".seg.nrrd", ".seg.nhdr", ".seg.vtm")),
    ("SequenceFile", (".seq.nrrd", ".seq.nhdr", ".seq.mha")),
    ("MarkupsFile", (".mrk.json", ".fcsv")),
    ("SceneFile", (".mrb", ".mrml")),
    ("TransformFile", (".h5", ".tfm")),
    ("ModelFile", (".vtk", ".vtp", ".stl", ".ply", ".obj")),
    ("TableFile", (".csv", ".tsv")),
    ("TextFile", (".txt", ".json", ".xml")),
    ("VolumeFile", (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".dcm", ".hdr", ".img")),
)
"""File type -> endings, the longest first where one ends like another."""

WRITERS = {
    "vtkMRMLSegmentationNode": ("SegmentationFile", ".seg.nrrd"),
    "vtkMRMLVolumeNode": ("VolumeFile", ".nrrd"),
    "vtkMRMLMarkupsNode": ("MarkupsFile", ".mrk.json"),
    "vtkMRMLModelNode": ("ModelFile", ".vtk"),
    "vtkMRMLTransformNode": ("TransformFile", ".h5"),
    "vtkMRMLTableNode": ("TableFile", ".tsv"),
    "vtkMRMLTextNode": ("TextFile", ".txt"),
    "vtkMRMLSequenceNode": ("SequenceFile", ".seq.nrrd"),
}


VOLUME_FORMATS = (
    "NRRD (.nrrd)",
    "NRRD (.nhdr)",
    "MetaImage (.mha)",
    "MetaImage (.mhd)",
    "NIfTI (.nii.gz)",
    "NIfTI (.nii)",
)
"""What Slicer offers for volumes; the wheel's storage node writes them but cannot list them."""


class IOManager(CppObject):
    """qSlicerCoreIOManager, and qSlicerIOManager as far as it needs no dialog."""

    _in_class = "qSlicerIOManager"

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._in_layer = layer

    # Reading.

    def fileType(self, name: str) -> str:
        """Type of reader for that file; "NoFile" when none fits."""
        small = str(name).lower()
        return next((kind for kind, endings in TYPES if small.endswith(endings)), "NoFile")

    def registeredFileReaderCount(self, kind: str) -> int:
        return int(any(kind == known for known, _ in TYPES))

    def loadNodes(self, kind: str, properties: dict, loaded: Any = None, messages: Any = None) -> bool:
        """Load the file `properties["fileName"]`; new nodes go into `loaded`, complaints into `messages`."""
        scene = self._in_layer.scene.scene
        path = str(properties["fileName"])
        before = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
        reader = getattr(self, f"_in_read_{kind}", None)
        if reader is None:
            raise NotImplementedError(f"the stand-in has no reader of type {kind}")
        if not os.path.exists(path):
            _complain(messages, f"File not found: {path}")
            return False
        node = reader(path, properties, messages)
        if not node:
            return False
        if loaded is not None:
            if isinstance(node, vtk.vtkObject):
                loaded.AddItem(node)
            else:
                fresh = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
                for one in [one for one in fresh if one.GetID() not in before]:
                    loaded.AddItem(one)
        self._in_emit("newFileLoaded(qSlicerIO::IOProperties)", {**properties, "fileType": kind})
        return True

    def loadScene(self, path: str, clear: bool = True, messages: Any = None) -> bool:
        return self.loadNodes("SceneFile", {"fileName": path, "clear": clear}, None, messages)

    def _in_read_VolumeFile(self, path: str, properties: dict, messages: Any) -> Any:
        options = 0
        if properties.get("labelmap"):
            options |= 1
        if properties.get("center"):
            options |= 2
        if properties.get("singleFile"):
            options |= 8
        logic = self._in_layer.scene.logics["Volumes"]
        name = properties.get("name") or _stem(path)
        node = logic.AddArchetypeVolume(path, name, options, None, messages)
        if node is not None and properties.get("show", True) and self._in_layer.layout_manager is not None:
            logic_of_application = self._in_layer.scene.application_logic
            logic_of_application.GetSelectionNode().SetActiveVolumeID(node.GetID())
            logic_of_application.PropagateVolumeSelection()
        return node

    def _in_read_SegmentationFile(self, path: str, properties: dict, messages: Any) -> Any:
        logic = self._in_layer.scene.logics["Segmentations"]
        name = properties.get("name") or _stem(path)
        return logic.LoadSegmentationFromFile(path, properties.get("autoOpacities", True), name, None, messages)

    def _in_read_MarkupsFile(self, path: str, properties: dict, messages: Any) -> Any:
        logic = self._in_layer.scene.logics["Markups"]
        identifier = logic.LoadMarkups(path, properties.get("name") or _stem(path), messages)
        return self._in_layer.scene.scene.GetNodeByID(identifier) if identifier else None

    def _in_read_ModelFile(self, path: str, properties: dict, messages: Any) -> Any:
        coordinates = properties.get("coordinateSystem", slicer.vtkMRMLStorageNode.CoordinateSystemLPS)
        return self._in_layer.scene.logics["Models"].AddModel(path, coordinates, messages)

    def _in_read_TransformFile(self, path: str, _properties: dict, messages: Any) -> Any:
        return self._in_layer.scene.logics["Transforms"].AddTransform(path, self._in_layer.scene.scene, messages)

    def _in_read_TableFile(self, path: str, properties: dict, messages: Any) -> Any:
        return self._in_layer.scene.logics["Tables"].AddTable(
            path, properties.get("name") or _stem(path), True, "", messages
        )

    def _in_read_SequenceFile(self, path: str, _properties: dict, messages: Any) -> Any:
        return self._in_layer.scene.logics["Sequences"].AddSequence(path, messages)

    def _in_read_SceneFile(self, path: str, properties: dict, messages: Any) -> bool:
        """Without `clear`, what is in the file is added to the scene, as File > Add data does it."""
        scene = self._in_layer.scene.scene
        clear = bool(properties.get("clear", False))
        if path.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear, messages))
        scene.SetURL(path)
        scene.SetRootDirectory(str(Path(path).resolve().parent))
        return bool(scene.Connect(messages) if clear else scene.Import(messages))

    # Writing.

    def fileWriterFileType(self, node: Any, _file_name: str = "") -> str:
        return next((kind for class_name, (kind, _) in WRITERS.items() if node.IsA(class_name)), "NoFile")

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        types = storage.GetSupportedWriteFileTypes()
        listed = tuple(types.GetValue(index) for index in range(types.GetNumberOfValues()))
        return listed or (VOLUME_FORMATS if node.IsA("vtkMRMLVolumeNode") else ())

    def extractKnownExtension(self, name: str, node: Any) -> str:
        known = [form[form.rindex("(") + 1 : -1] for form in self.fileWriterExtensions(node) if "(" in form]
        return max((one for one in known if name.lower().endswith(one.lower())), key=len, default="")

    def addDefaultStorageNodes(self) -> None:
        scene = self._in_layer.scene.scene
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            node = scene.GetNthNodeByClass(index, "vtkMRMLStorableNode")
            if node.GetSaveWithScene() and node.GetStorageNode() is None:
                node.AddDefaultStorageNode()

    def saveScene(self, path: str, _screenshot: Any = None, messages: Any = None) -> bool:
        return self.saveNodes("SceneFile", {"fileName": path}, messages)

    def saveNodes(self, kind: str, properties: dict, messages: Any = None, scene: Any = None) -> bool:
        """Save the scene (.mrb, .mrml, or into a folder), or the node `properties["nodeID"]`."""
        scene = scene or self._in_layer.scene.scene
        path = str(properties["fileName"])
        if kind == "SceneFile":
            done = self._in_write_scene(scene, path, messages)
        else:
            done = self._in_write_node(scene.GetNodeByID(properties["nodeID"]), path, properties, messages)
        if done:
            self._in_emit("fileSaved(qSlicerIO::IOProperties)", {**properties, "fileType": kind})
        return done

    def _in_write_scene(self, scene: Any, path: str, messages: Any) -> bool:
        if path.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(path, None, messages))
        if path.lower().endswith(".mrml"):
            scene.SetURL(path)
            scene.SetRootDirectory(str(Path(path).resolve().parent))
            return bool(scene.Commit(path, messages))
        os.makedirs(path, exist_ok=True)
        logic = self._in_layer.scene.application_logic
        return bool(logic.SaveSceneToSlicerDataBundleDirectory(path, None, messages))

    def _in_write_node(self, node: Any, path: str, properties: dict, messages: Any) -> bool:
        if node is None:
            _complain(messages, "The node to be saved is not in the scene.")
            return False
        storage = node.GetStorageNode()
        if storage is None or not storage.SupportedFileType(path):
            node.AddDefaultStorageNode(path)
            storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(int(properties.get("useCompression", True)))
        done = bool(storage.WriteData(node))
        if messages is not None:
            messages.AddMessages(storage.GetUserMessages())
        return done

    def exportNodes(self, ids: list, paths: list, properties: dict, harden: bool = False, messages: Any = None) -> bool:
        """Write copies: the storage nodes of the originals stay as they are."""
        scene = self._in_layer.scene.scene
        for identifier, path in zip(ids, paths, strict=True):
            node = scene.GetNodeByID(identifier)
            exported = slicer.vtkMRMLScene()
            copy = exported.CopyNode(node)
            if harden and isinstance(copy, slicer.vtkMRMLTransformableNode) and node.GetParentTransformNode():
                transform = vtk.vtkGeneralTransform()
                node.GetParentTransformNode().GetTransformToWorld(transform)
                copy.ApplyTransform(transform)
            if not self._in_write_node(copy, str(path), properties, messages):
                return False
        return True


def _stem(path: str) -> str:
    """The file's name without its ending, double endings included."""
    name = Path(path).name
    endings = [ending for _, endings in TYPES for ending in endings if name.lower().endswith(ending)]
    return name[: -len(max(endings, key=len))] if endings else Path(path).stem


def _complain(messages: Any, text: str) -> None:
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)
