"""connectGui: widgets of an exact class follow their parameter and lead it; Slicer's own defects are kept."""

import enum
import pathlib
import typing
from typing import Annotated

import ctk
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import (
    Choice,
    GuiConnector,
    Maximum,
    Minimum,
    WithinRange,
    createGuiConnector,
    parameterNodeGuiConnector,
    parameterNodeWrapper,
)


class Preset(enum.Enum):
    LUNG = 1
    BONE = 2

    def label(self):
        return self.name.capitalize()


@parameterNodeWrapper
class Parameters:
    on: bool
    count: Annotated[int, WithinRange(0, 9)] = 1
    ratio: Annotated[float, Minimum(0), Maximum(1)] = 0.5
    name: str = "lesion"
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = "auto"
    preset: Preset = Preset.LUNG
    folder: pathlib.Path = pathlib.Path("/tmp")
    volume: slicer.vtkMRMLScalarVolumeNode
    either: typing.Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode, None]  # noqa: UP007


@pytest.fixture
def wrapper(host):
    return Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


@pytest.fixture
def panel(host):
    """A panel with one widget per parameter, each bound by its dynamic property."""
    top = qt.QWidget()
    layout = qt.QVBoxLayout(top)
    widgets = {
        "on": qt.QCheckBox(),
        "count": qt.QSpinBox(),
        "ratio": ctk.ctkSliderWidget(),
        "name": qt.QLineEdit(),
        "device": qt.QComboBox(),
        "preset": qt.QComboBox(),
        "folder": ctk.ctkPathLineEdit(),
        "volume": slicer.qMRMLNodeComboBox(),
        "either": slicer.qMRMLNodeComboBox(),
    }
    for name, widget in widgets.items():
        widget.objectName = name
        widget.setProperty("SlicerParameterName", name)
        layout.addWidget(widget)
    for name in ("volume", "either"):
        widgets[name].noneEnabled = True
        widgets[name].setMRMLScene(slicer.mrmlScene)
    yield top
    top.deleteLater()


def child(panel, name):
    return slicer.util.findChild(panel, name)


def test_connecting_shows_the_values_and_sets_limits_and_choices(wrapper, panel):
    wrapper.ratio = 0.25
    wrapper.connectGui(panel)
    assert child(panel, "count").value == 1
    assert (child(panel, "count").minimum, child(panel, "count").maximum) == (0, 9)
    assert child(panel, "ratio").value == pytest.approx(0.25)
    assert (child(panel, "ratio").minimum, child(panel, "ratio").maximum) == (0.0, 1.0)
    assert child(panel, "name").text == "lesion"
    device = child(panel, "device")
    assert [device.itemText(index) for index in range(device.count)] == ["auto", "cpu", "cuda"]
    preset = child(panel, "preset")
    assert [preset.itemText(index) for index in range(preset.count)] == ["Lung", "Bone"]
    assert child(panel, "volume").nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert child(panel, "either").nodeTypes == ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
    assert child(panel, "folder").currentPath == "/tmp"


def test_what_the_user_does_reaches_the_parameters(wrapper, panel):
    wrapper.connectGui(panel)
    child(panel, "on").click()
    child(panel, "count").value = 7
    child(panel, "ratio").value = 0.75
    child(panel, "name").text = "node"
    child(panel, "device").currentIndex = 2
    child(panel, "preset").currentIndex = 1
    child(panel, "folder").currentPath = "/"
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    child(panel, "volume").setCurrentNode(ct)
    values = (wrapper.on, wrapper.count, wrapper.ratio, wrapper.name, wrapper.device, wrapper.preset, wrapper.folder)
    assert values == (True, 7, 0.75, "node", "cuda", Preset.BONE, pathlib.Path("/"))
    assert wrapper.volume is ct
    assert wrapper.parameterNode.GetParameter("device") == "cuda"


def test_what_a_script_sets_reaches_the_panel(wrapper, panel):
    wrapper.connectGui(panel)
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    wrapper.count = 4
    wrapper.device = "cpu"
    wrapper.volume = ct
    wrapper.parameterNode.SetParameter("name", "from the node")
    assert child(panel, "count").value == 4
    assert child(panel, "device").currentText == "cpu"
    assert child(panel, "volume").currentNode() is ct
    assert child(panel, "name").text == "from the node"


def test_an_object_of_widgets_works_like_the_panel(wrapper, panel):
    ui = slicer.util.childWidgetVariables(panel)
    wrapper.connectGui(ui)
    ui.count.value = 3
    assert wrapper.count == 3


def test_in_5_8_disconnecting_with_the_tag_of_connect_gui_undoes_nothing(wrapper, panel):
    tag = wrapper.connectGui(panel)
    assert tag is None
    wrapper.disconnectGui(tag)
    child(panel, "count").value = 6
    assert wrapper.count == 6


def test_in_5_12_disconnecting_with_the_tag_of_connect_gui_ends_both_directions(host, panel):
    host.restart(version="5.12")
    wrapper = Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    widget = child(panel, "count")
    tag = wrapper.connectGui(panel)
    wrapper.disconnectGui(tag)
    widget.value = 6
    assert wrapper.count == 1
    wrapper.count = 2
    assert widget.value == 6


def test_connecting_by_a_mapping_gives_a_tag_in_every_version(wrapper, panel):
    spin, line = child(panel, "count"), child(panel, "name")
    first = wrapper.connectParametersToGui({"count": spin})
    second = wrapper.connectParametersToGui({"name": line})
    assert first != second
    wrapper.disconnectGui(first)
    spin.value = 8
    line.text = "still bound"
    assert wrapper.count == 1
    assert wrapper.name == "still bound"
    wrapper.count = 5
    assert spin.value == 8


def test_a_subclass_of_a_widget_does_not_bind(wrapper):
    class MySpin(qt.QSpinBox):
        pass

    widget = MySpin()
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        wrapper.connectParametersToGui({"count": widget})
    widget.deleteLater()


@pytest.mark.parametrize(("parameter", "make"), [("name", "QSpinBox"), ("count", "QLineEdit"), ("on", "QComboBox")])
def test_a_widget_for_another_type_does_not_bind(wrapper, parameter, make):
    widget = getattr(qt, make)()
    with pytest.raises(RuntimeError):
        wrapper.connectParametersToGui({parameter: widget})
    widget.deleteLater()


def test_a_name_that_is_no_parameter_is_refused_before_anything_is_bound(wrapper, panel):
    child(panel, "count").setProperty("SlicerParameterName", "cuont")
    with pytest.raises(ValueError, match="cuont"):
        wrapper.connectGui(panel)
    child(panel, "name").text = "unbound"
    assert wrapper.name == "lesion"


def test_a_slider_without_limits_is_refused(host):
    @parameterNodeWrapper
    class Free:
        ratio: float

    wrapper = Free(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    slider, spin = ctk.ctkSliderWidget(), qt.QDoubleSpinBox()
    with pytest.raises(RuntimeError, match="unbounded"):
        wrapper.connectParametersToGui({"ratio": slider})
    wrapper.connectParametersToGui({"ratio": spin})
    slider.deleteLater()
    spin.deleteLater()


def test_a_push_button_is_made_checkable(wrapper):
    button = qt.QPushButton("on")
    wrapper.connectParametersToGui({"on": button})
    assert button.checkable
    button.click()
    assert wrapper.on is True
    button.deleteLater()


def test_a_connector_of_ones_own_is_used(host):
    @parameterNodeGuiConnector
    class LabelConnector(GuiConnector):
        @staticmethod
        def canRepresent(widget, datatype):
            return datatype is str and type(widget) is qt.QLabel

        @staticmethod
        def create(widget, datatype):
            return LabelConnector(widget)

        def __init__(self, widget):
            super().__init__()
            self.label = widget

        def _connect(self):
            self.label.connect("linkActivated(QString)", self.changed)

        def _disconnect(self):
            self.label.disconnect("linkActivated(QString)", self.changed)

        def widget(self):
            return self.label

        def read(self):
            return self.label.text

        def write(self, value):
            self.label.text = value

    label = qt.QLabel()
    wrapper = Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    wrapper.connectParametersToGui({"name": label})
    wrapper.name = "shown"
    assert label.text == "shown"
    assert isinstance(createGuiConnector(label, str), LabelConnector)
    label.deleteLater()
    with pytest.raises(TypeError, match="GuiConnector"):
        parameterNodeGuiConnector(int)


def test_a_value_that_is_no_choice_is_refused_by_the_parameter(wrapper, panel):
    wrapper.connectGui(panel)
    with pytest.raises(ValueError, match="must be in one of"):
        wrapper.device = "tpu"
    assert child(panel, "device").currentText == "auto"
