"""`slicer.parameterNodeWrapper`, put together; `load()` answers with the module that panels import."""

from __future__ import annotations

import importlib
import types

PUBLIC = {
    "parameter_types": (
        "Choice", "Decimals", "Default", "Exclude", "IsInstance", "Maximum", "Minimum", "NotNone", "RangeBounds",
        "SingleStep", "Validator", "WithinRange", "findFirstAnnotation", "getNodeTypes", "isNodeOrUnionOfNodes",
        "splitAnnotations", "unannotatedType",
    ),
    "parameter_serializers": (
        "BoolSerializer", "NodeSerializer", "NumberSerializer", "PathSerializer", "Serializer", "StringSerializer",
        "ValidatedSerializer", "parameterNodeSerializer",
    ),
    "parameter_containers": ("DictSerializer", "ListSerializer", "TupleSerializer", "UnionSerializer"),
    "parameter_pack": ("FloatRange", "isParameterPack", "nestedParameterNames", "parameterPack"),
    "parameter_gui": ("GuiConnector", "createGuiConnector", "parameterNodeGuiConnector"),
    "parameter_gui_binding": ("findChildWidgetForParameter",),
    "parameter_wrapper": ("isParameterNodeWrapper", "parameterNodeWrapper"),
}  # fmt: skip


def load() -> types.ModuleType:
    """A module with the public names; createGui and the like, which make widgets by themselves, are not among them."""
    module = types.ModuleType("slicer.parameterNodeWrapper", "Stand-in: see parameter_nodes.py.")
    importlib.import_module("standin.parameter_connectors")  # registers Slicer's connectors
    for source, names in PUBLIC.items():
        part = importlib.import_module(f"standin.{source}")
        for name in names:
            setattr(module, name, getattr(part, name))
    module.SlicerParameterNamePropertyName = "SlicerParameterName"
    return module
