"""`@parameterNodeWrapper`: typed members on a vtkMRMLScriptedModuleNode, as in slicer.parameterNodeWrapper.wrapper."""

from __future__ import annotations

import weakref
from typing import Any

import slicer
import vtk

from standin import parameter_gui_binding as binding
from standin.parameter_pack import ParameterInfo, check_member, read_members
from standin.parameter_types import Default, split_dotted, unannotatedType


class Parameter:
    """One member on one node; it is read anew each time."""

    def __init__(self, info: ParameterInfo, node: Any, prefix: str | None) -> None:
        self.name = f"{prefix or ''}{info.basename}"
        self.info, self.node = info, node

    @property
    def default(self) -> Default:
        return self.info.default

    def is_in(self) -> bool:
        return self.info.serializer.isIn(self.node, self.name)

    def read(self) -> Any:
        if not self.is_in():
            self.info.serializer.write(self.node, self.name, self.default.value)
        return self.info.serializer.read(self.node, self.name)

    def write(self, value: Any) -> None:
        self.info.serializer.write(self.node, self.name, value)


class CachedParameter(Parameter):
    """One member on one node; the value is kept, and read again after each ModifiedEvent of the node."""

    def __init__(self, info: ParameterInfo, node: Any, prefix: str | None) -> None:
        super().__init__(info, node, prefix)
        self._value = super().read()
        self._writing = False
        # The observer must not keep this object alive: it goes with the wrapper, and takes the observer with it.
        reference = weakref.ref(self)

        def modified(*_event: Any) -> None:
            parameter = reference()
            if parameter is not None and not parameter._writing:
                parameter._value = Parameter.read(parameter)

        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, modified)

    def __del__(self) -> None:
        if hasattr(self, "_tag"):
            self.node.RemoveObserver(self._tag)

    def read(self) -> Any:
        return self._value

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            # Observers are called when NodeModify ends; by then the new value must be the one that is kept.
            with slicer.util.NodeModify(self.node):
                super().write(value)
                self._value = Parameter.read(self)
        finally:
            self._writing = False


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Class decorator: `Wrapper(node)` then reads and writes the node through typed members."""
    return _make_wrapper if classtype is None else _make_wrapper(classtype)


def _make_wrapper(classtype: type) -> type:
    members = read_members(classtype)
    for name in members:
        setattr(classtype, name, _member(name))
    methods = {
        "allParameters": members,
        "_is_parameter_node_wrapper": True,
        "default": _default,
        "isCached": _is_cached,
        "dataType": staticmethod(lambda membername: _data_type(classtype, membername)),
        "getValue": _get_value,
        "setValue": _set_value,
        "connectGui": binding.connectGui,
        "connectParametersToGui": binding.connectParametersToGui,
        "disconnectGui": binding.disconnectGui,
        "StartModify": lambda self: self.parameterNode.StartModify(),
        "EndModify": lambda self, wasModified: self.parameterNode.EndModify(wasModified),
        "AddObserver": _add_observer,
        "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
        "Modified": lambda self: self.parameterNode.Modified(),
    }
    for name, method in methods.items():
        if hasattr(classtype, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(classtype, name, method)
    classtype.__init__ = _init
    return classtype


def _member(name: str) -> property:
    def write(self: Any, value: Any) -> None:
        self._parameters[name].write(value)

    return property(lambda self: self._parameters[name].read(), write)


def _init(self: Any, parameterNode: Any, prefix: str | None = None) -> None:
    assert parameterNode is not None
    self.parameterNode = parameterNode
    self._parameters = {}
    binding.prepare(self)
    for name, info in self.allParameters.items():
        parameter = Parameter(info, parameterNode, prefix)
        if not parameter.is_in():
            parameter.write(info.default.value)
        cached = info.serializer.supportsCaching()
        self._parameters[name] = CachedParameter(info, parameterNode, prefix) if cached else parameter


def check_name(wrapper: Any, name: str) -> None:
    """ValueError when the wrapper has no parameter of that dotted name."""
    top, rest = split_dotted(name)
    if top not in wrapper.allParameters:
        known = ", ".join(wrapper.allParameters)
        raise ValueError(f"Cannot find a param with the given name: {top}\n  Found parameters [{known}]")
    if rest is not None:
        check_member(unannotatedType(wrapper.allParameters[top].unalteredType), rest)


def _default(self: Any, paramName: str) -> Default:
    check_name(self, paramName)
    return self._parameters[paramName].default


def _is_cached(self: Any, paramName: str) -> bool:
    check_name(self, paramName)
    return isinstance(self._parameters[paramName], CachedParameter)


def _data_type(classtype: Any, membername: str) -> Any:
    check_name(classtype, membername)
    top, rest = split_dotted(membername)
    kind = classtype.allParameters[top].unalteredType
    return kind if rest is None else unannotatedType(kind).dataType(rest)


def _get_value(self: Any, name: str) -> Any:
    check_name(self, name)
    top, rest = split_dotted(name)
    value = self._parameters[top].read()
    return value if rest is None else value.getValue(rest)


def _set_value(self: Any, name: str, value: Any) -> None:
    check_name(self, name)
    top, rest = split_dotted(name)
    if rest is None:
        self._parameters[top].write(value)
    else:
        self._parameters[top].read().setValue(rest, value)


def _add_observer(self: Any, event: Any, callback: Any, priority: float = 0.0) -> int:
    return self.parameterNode.AddObserver(event, callback, priority)
