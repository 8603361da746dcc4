"""`SampleData`: registering sample data of an extension, and loading it by name.

Behaviour follows Slicer's Modules/Scripted/SampleData/SampleData.py (SampleDataSource, SampleDataLogic); sources that
Slicer brings along are not registered, and nothing is downloaded from the network.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _


class SampleDataSource:
    """One set of sample data: addresses, names of files and nodes, and a function that makes or fetches it.

    uris, fileNames, nodeNames, checksums, loadFiles, loadFileType: a value, or a list with one value per file; all
    lists have the same length, else ValueError.
    """

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Callable | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = None,
        loadFileProperties: dict | None = None,
    ) -> None:
        self.sampleName = sampleName
        self.sampleDescription = sampleName if sampleDescription is None else sampleDescription
        if isinstance(uris, (list, tuple)):
            count = len(uris)
            if isinstance(loadFileType, str) or loadFileType is None:
                loadFileType = [loadFileType] * count
            nodeNames = [None] * count if nodeNames is None else nodeNames
            loadFiles = [None] * count if loadFiles is None else loadFiles
            checksums = [None] * count if checksums is None else checksums
        elif isinstance(uris, str):
            uris, fileNames, nodeNames = [uris], [fileNames], [nodeNames]
            loadFiles, loadFileType, checksums = [loadFiles], [loadFileType], [checksums]
        types = [
            kind or _guessed_type(file, node)
            for file, node, kind in zip(fileNames, nodeNames, loadFileType, strict=False)
        ]
        self.uris, self.fileNames, self.nodeNames = uris, fileNames, nodeNames
        self.loadFiles, self.loadFileType, self.checksums = loadFiles, types, checksums
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileProperties = {} if loadFileProperties is None else loadFileProperties
        if len({len(uris), len(fileNames), len(nodeNames), len(loadFiles), len(types), len(checksums)}) != 1:
            raise ValueError(f"All fields of sample data source must have the same length\n{self}")

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in vars(self).items())

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    __hash__ = None


def _guessed_type(file_name: str | None, node_name: str | None) -> str | None:
    if node_name is not None:
        return "VolumeFile"
    ending = os.path.splitext((file_name or "").lower())[1]
    return {".mrml": "SceneFile", ".mrb": "SceneFile", ".zip": "ZipFile"}.get(ending)


class SampleDataLogic:
    """Registers sources and loads them; reports through `logMessage(text, logLevel)`."""

    builtInCategoryName = "General"
    developmentCategoryName = "Development"

    def __init__(self, logMessage: Callable | None = None) -> None:
        if logMessage:
            self.logMessage = logMessage
        self.downloadPercent = 0
        _sources()

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: dict | None = None,
        checksums: Any = None,
    ) -> None:
        """Add a source to a category of slicer.modules.sampleDataSources, once."""
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            thumbnailFileName=thumbnailFileName,
            loadFileType=loadFileType,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties,
            checksums=checksums,
            customDownloader=customDownloader,
        )
        if not SampleDataLogic.isSampleDataSourceRegistered(category, source):
            _sources().setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        return _sources() if category is None else _sources().get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category: str, sampleDataSource: SampleDataSource) -> bool:
        if not isinstance(sampleDataSource, SampleDataSource):
            raise TypeError(f"unsupported sampleDataSource type '{type(sampleDataSource)}'")
        return sampleDataSource in _sources().get(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        return next((one for held in _sources().values() for one in held if one.sampleName == sampleName), None)

    def categoryForSource(self, source: SampleDataSource) -> str | None:
        return next((category for category, held in _sources().items() if source in held), None)

    def downloadSample(self, sampleName: str) -> Any:
        return self.downloadSamples(sampleName)[0]

    def downloadSamples(self, sampleName: str) -> list:
        """Nodes (or paths) of the sample of that name; an empty list when there is none.

        A source's customDownloader is not asked: in Slicer only the button of the Sample Data module calls it.
        """
        source = self.sourceForSampleName(sampleName)
        return [] if source is None else self.downloadFromSource(source)

    def downloadFromSource(self, source: SampleDataSource) -> list:
        """Copy the files of file: addresses into the cache and load those that have a node's name."""
        results: list[Any] = []
        paths: list[str] = []
        for uri, name, node_name, checksum, load, kind in zip(
            source.uris, source.fileNames, source.nodeNames, source.checksums, source.loadFiles, source.loadFileType,
            strict=True,
        ):  # fmt: skip
            try:
                path = self.downloadFileIntoCache(uri, name, checksum)
            except ValueError:
                # Slicer tries three times, and then goes on with what it has.
                self.logMessage(
                    _("Download failed (attempt {current} of {total})...").format(current=3, total=3), logging.ERROR
                )
                continue
            paths.append(path)
            if kind == "SceneFile":
                if load:
                    slicer.app.coreIOManager().loadNodes("SceneFile", {**source.loadFileProperties, "fileName": path})
                results.append(path)
            elif node_name:
                results.append(
                    path if load is False else self.loadNode(path, node_name, kind, source.loadFileProperties)
                )
        return results or paths

    def downloadFileIntoCache(self, uri: str, name: str, checksum: str | None = None) -> str:
        folder = slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()
        os.makedirs(folder, exist_ok=True)
        return self.downloadFile(uri, folder, name, checksum)

    def downloadFile(self, uri: str, destFolderPath: str, name: str, checksum: str | None = None) -> str:
        """Only file: addresses are reachable; ValueError for others, and after a wrong checksum (`SHA256:...`) too."""
        parsed = urlparse(uri)
        path = str(Path(destFolderPath) / name)
        try:
            if parsed.scheme != "file":
                raise OSError("the stand-in has no network")
            shutil.copyfile(url2pathname(parsed.path), path)
        except OSError as error:
            self.logMessage(_("Download failed: {errorMessage}").format(errorMessage=error), logging.ERROR)
            raise ValueError(_("Failed to download {uri} to {filePath}").format(uri=uri, filePath=path)) from error
        algorithm, digest = slicer.util.extractAlgoAndDigest(checksum)
        if algorithm is not None and slicer.util.computeChecksum(algorithm, path) != digest:
            os.remove(path)
            raise ValueError(_("Checksum verification failed"))
        return path

    def loadNode(self, uri: str, name: str, fileType: str = "VolumeFile", fileProperties: dict | None = None) -> Any:
        """Load a file under that name; it then has no storage node, for it lies in a folder that will go."""
        loaded = vtk.vtkCollection()
        properties = {**(fileProperties or {}), "fileName": uri, "name": name}
        if not slicer.app.coreIOManager().loadNodes(fileType, properties, loaded) or not loaded.GetNumberOfItems():
            self.logMessage(_("Load failed!"), logging.ERROR)
            return None
        for node in loaded:
            storage = node.GetStorageNode() if node.IsA("vtkMRMLStorableNode") else None
            if storage is not None:
                slicer.mrmlScene.RemoveNode(storage)
                node.SetAndObserveStorageNodeID(None)
        return loaded.GetItemAsObject(0)

    def logMessage(self, message: str, logLevel: int = logging.DEBUG) -> None:
        logging.log(logLevel, message)


def downloadSample(sampleName: str) -> Any:
    """The first node of a sample."""
    return SampleDataLogic().downloadSamples(sampleName)[0]


def downloadSamples(sampleName: str) -> list:
    """All nodes of a sample."""
    return SampleDataLogic().downloadSamples(sampleName)


def _sources() -> dict[str, list[SampleDataSource]]:
    """slicer.modules.sampleDataSources, which every module may make."""
    if "sampleDataSources" not in vars(slicer.modules):
        slicer.modules.sampleDataSources = {}
    return slicer.modules.sampleDataSources
