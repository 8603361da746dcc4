"""slicer.parameterNodeWrapper: storage on the node, validation, caching. The cases follow Slicer's own tests of it."""

import enum
import pathlib
import typing
from typing import Annotated

import pytest
import slicer
import vtk
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Exclude,
    FloatRange,
    Maximum,
    Minimum,
    RangeBounds,
    Validator,
    WithinRange,
    isParameterNodeWrapper,
    isParameterPack,
    nestedParameterNames,
    parameterNodeWrapper,
    parameterPack,
)


def new_node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


class Preset(enum.Enum):
    LUNG = 1
    BONE = 2


@parameterPack
class Point:
    x: Annotated[float, WithinRange(-10, 10)]
    y: float = 3.0


@parameterPack
class Box:
    name: str = "box"
    corner: Point


@pytest.mark.usefixtures("host_without_main_window")
class TestStorage:
    def test_values_lie_in_the_node_in_slicers_format(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int = 3
            ratio: float = 2.5
            name: str = "lesion"
            on: bool = True
            folder: pathlib.Path = pathlib.Path("/tmp/a b")
            preset: Preset = Preset.BONE

        node = new_node()
        Wrapper(node)
        stored = {name: node.GetParameter(name) for name in node.GetParameterNames()}
        assert stored == {
            "count": "3", "ratio": "2.5", "name": "lesion", "on": "True", "folder": "/tmp/a b", "preset": "BONE",
        }  # fmt: skip

    def test_containers_lie_in_numbered_parameters(self):
        @parameterNodeWrapper
        class Wrapper:
            names: list[str]
            pair: tuple[int, str] = (1, "a")
            weights: dict[str, float]
            either: typing.Union[int, str] = "text"  # noqa: UP007

        node = new_node()
        wrapper = Wrapper(node)
        wrapper.names = ["liver", "lesion"]
        wrapper.weights = {"liver": 0.5}
        stored = {name: node.GetParameter(name) for name in node.GetParameterNames()}
        assert stored == {
            "names.len": "2", "names.0": "liver", "names.1": "lesion", "pair.0": "1", "pair.1": "a",
            "weights.len": "1", "weights.0.0": "liver", "weights.0.1": "0.5", "either.1": "text",
        }  # fmt: skip
        wrapper.names = ["liver"]
        assert "names.1" not in node.GetParameterNames()

    def test_nodes_are_node_references(self):
        @parameterNodeWrapper
        class Wrapper:
            volume: slicer.vtkMRMLScalarVolumeNode

        node = new_node()
        wrapper = Wrapper(node)
        assert wrapper.volume is None
        assert node.GetParameter("volume") == ""
        ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        wrapper.volume = ct
        assert node.GetNodeReferenceID("volume") == ct.GetID()
        assert wrapper.volume is ct
        slicer.mrmlScene.RemoveNode(ct)
        assert wrapper.volume is None

    def test_a_second_wrapper_reads_what_the_first_wrote(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int = 3

        node = new_node()
        Wrapper(node).count = 8
        assert Wrapper(node).count == 8

    def test_a_prefix_keeps_two_wrappers_apart_on_one_node(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int = 3

        node = new_node()
        first, second = Wrapper(node), Wrapper(node, prefix="second.")
        first.count = 5
        assert second.count == 3
        assert node.GetParameter("second.count") == "3"

    def test_packs_lie_under_dotted_names_and_write_themselves(self):
        @parameterNodeWrapper
        class Wrapper:
            box: Box

        node = new_node()
        wrapper = Wrapper(node)
        wrapper.box.corner.x = 4.0
        assert node.GetParameter("box.corner.x") == "4.0"
        wrapper.setValue("box.corner.y", -2.0)
        assert wrapper.box.corner == Point(4.0, -2.0)
        assert wrapper.getValue("box.name") == "box"
        assert wrapper.dataType("box.corner.y") is float
        with pytest.raises(ValueError, match="within range"):
            wrapper.box.corner.x = 11.0
        assert wrapper.box.corner.x == 4.0
        with pytest.raises(ValueError, match="no member"):
            wrapper.getValue("box.edge")


@pytest.mark.usefixtures("host_without_main_window")
class TestDefaults:
    def test_types_have_their_defaults(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int
            ratio: float
            name: str
            on: bool
            folder: pathlib.Path
            preset: Preset
            names: list[str]
            maybe: typing.Optional[int]  # noqa: UP045 - what Slicer serializes is typing.Optional

        wrapper = Wrapper(new_node())
        values = (wrapper.count, wrapper.ratio, wrapper.name, wrapper.on, wrapper.folder, wrapper.preset, wrapper.maybe)
        assert values == (0, 0.0, "", False, pathlib.Path(), Preset.LUNG, None)
        assert wrapper.names == []

    def test_defaults_come_from_equals_from_default_and_from_a_generator(self):
        made = []

        @parameterNodeWrapper
        class Wrapper:
            a: int = 4
            b: Annotated[int, Default(5)]
            c: Annotated[int, Default(generator=lambda: made.append(1) or len(made))]

        wrapper = Wrapper(new_node())
        assert (wrapper.a, wrapper.b, wrapper.c) == (4, 5, 1)
        assert wrapper.default("b").value == 5
        assert Wrapper(new_node()).c == 2

    def test_a_default_does_not_overwrite_what_is_stored(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int = 4

        node = new_node()
        node.SetParameter("count", "9")
        assert Wrapper(node).count == 9

    def test_a_tuple_without_a_default_fails_on_the_second_node_as_in_slicer(self):
        @parameterNodeWrapper
        class Wrapper:
            pair: tuple[int, int]

        assert Wrapper(new_node()).pair == (0, 0)
        with pytest.raises(ValueError, match="tuple"):
            Wrapper(new_node())


@pytest.mark.usefixtures("host_without_main_window")
class TestValidation:
    @pytest.mark.parametrize(
        ("annotated", "good", "bad"),
        [
            (Annotated[int, WithinRange(0, 10)], 10, 11),
            (Annotated[float, Minimum(0)], 0.0, -0.1),
            (Annotated[float, Maximum(1)], 1.0, 1.1),
            (Annotated[str, Choice(["a", "b"])], "b", "c"),
            (Annotated[str, Exclude(["x"])], "y", "x"),
        ],
    )
    def test_a_refused_value_raises_and_leaves_the_old_one(self, annotated, good, bad):
        Wrapper = parameterNodeWrapper(type("Wrapper", (), {"__annotations__": {"value": annotated}, "value": good}))
        wrapper = Wrapper(new_node())
        with pytest.raises(ValueError):
            wrapper.value = bad
        assert wrapper.value == good

    @pytest.mark.parametrize(
        ("kind", "bad"),
        [(int, 1.5), (int, "1"), (float, "1.5"), (str, 5), (bool, 1), (pathlib.Path, "/tmp"), (int, None)],
    )
    def test_another_type_is_refused(self, kind, bad):
        Wrapper = parameterNodeWrapper(type("Wrapper", (), {"__annotations__": {"value": kind}}))
        wrapper = Wrapper(new_node())
        with pytest.raises((TypeError, ValueError)):
            wrapper.value = bad

    def test_a_float_takes_an_int(self):
        @parameterNodeWrapper
        class Wrapper:
            ratio: float

        wrapper = Wrapper(new_node())
        wrapper.ratio = 3
        assert wrapper.ratio == 3.0
        assert isinstance(wrapper.ratio, float)

    def test_a_node_of_another_class_is_refused(self):
        @parameterNodeWrapper
        class Wrapper:
            contours: slicer.vtkMRMLSegmentationNode

        wrapper = Wrapper(new_node())
        ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        with pytest.raises(TypeError):
            wrapper.contours = ct
        assert wrapper.contours is None

    def test_a_validator_of_ones_own_is_asked(self):
        class Even(Validator):
            def validate(self, value):
                if value % 2:
                    raise ValueError("odd")

        Wrapper = parameterNodeWrapper(type("Wrapper", (), {"__annotations__": {"count": Annotated[int, Even()]}}))
        wrapper = Wrapper(new_node())
        wrapper.count = 4
        with pytest.raises(ValueError, match="odd"):
            wrapper.count = 5

    def test_a_default_that_is_not_allowed_is_refused_when_the_node_is_wrapped(self):
        @parameterNodeWrapper
        class Wrapper:
            name: Annotated[str, Choice(["a"])]

        with pytest.raises(ValueError, match="must be in one of"):
            Wrapper(new_node())

    def test_a_list_with_a_refused_element_stays_as_it_was(self):
        @parameterNodeWrapper
        class Wrapper:
            counts: list[int]

        node = new_node()
        wrapper = Wrapper(node)
        wrapper.counts = [1, 2]
        with pytest.raises(TypeError):
            wrapper.counts = [5, "six", 7]
        assert wrapper.counts == [1, 2]
        with pytest.raises(TypeError):
            wrapper.counts.append("three")
        assert wrapper.counts == [1, 2]
        assert Wrapper(node).counts == [1, 2]

    @pytest.mark.parametrize("kind", [set, "int | None", complex, vtk.vtkImageData])
    def test_a_type_without_a_serializer_is_refused_when_the_class_is_made(self, kind):
        kind = (int | None) if kind == "int | None" else kind
        with pytest.raises(Exception, match="Unable to create serializer"):
            parameterNodeWrapper(type("Wrapper", (), {"__annotations__": {"value": kind}}))

    @pytest.mark.parametrize("name", ["default", "connectGui", "allParameters", "AddObserver"])
    def test_reserved_names_are_refused(self, name):
        with pytest.raises(ValueError, match="reserved name"):
            parameterNodeWrapper(type("Wrapper", (), {"__annotations__": {name: int}}))

    def test_a_range_keeps_its_order_and_its_bounds(self):
        @parameterNodeWrapper
        class Wrapper:
            window: Annotated[FloatRange, RangeBounds(-1000, 1000)]

        wrapper = Wrapper(new_node())
        wrapper.window = FloatRange(-160, 240)
        assert (wrapper.window.minimum, wrapper.window.maximum) == (-160, 240)
        with pytest.raises(ValueError):
            wrapper.window = FloatRange(-2000, 0)
        with pytest.raises(ValueError, match="minimum <= maximum"):
            FloatRange(2, 1)


@pytest.mark.usefixtures("host_without_main_window")
class TestBehaviour:
    def test_lists_and_dictionaries_write_themselves_when_changed(self):
        @parameterNodeWrapper
        class Wrapper:
            names: list[str]
            weights: dict[str, int]

        node = new_node()
        wrapper = Wrapper(node)
        wrapper.names.append("a")
        wrapper.names += ["b", "c"]
        wrapper.names.remove("a")
        wrapper.names[0] = "z"
        assert Wrapper(node).names == ["z", "c"]
        wrapper.weights["x"] = 1
        wrapper.weights["y"] = 2
        wrapper.weights.pop("x")
        assert Wrapper(node).weights == {"y": 2}
        with pytest.raises(NotImplementedError):
            wrapper.names + ["d"]  # noqa: RUF005

    def test_a_union_stores_the_type_it_was_given(self):
        @parameterNodeWrapper
        class Wrapper:
            value: typing.Union[int, str, slicer.vtkMRMLScalarVolumeNode, None]  # noqa: UP007

        node = new_node()
        wrapper = Wrapper(node)
        ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        for value in (4, "four", ct, None, 5):
            wrapper.value = value
            assert wrapper.value == value
            assert Wrapper(node).value == value
        with pytest.raises(TypeError):
            wrapper.value = 1.5
        with pytest.raises(TypeError, match="Unable to write"):
            wrapper.value = b"bytes"
        assert wrapper.value == 5

    def test_simple_values_are_cached_and_follow_the_node(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int
            box: Box

        node = new_node()
        wrapper = Wrapper(node)
        assert wrapper.isCached("count")
        node.SetParameter("count", "12")
        assert wrapper.count == 12
        with pytest.raises(ValueError, match="Cannot find a param"):
            wrapper.isCached("cuont")

    def test_observers_see_the_new_value(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int
            name: str

        wrapper = Wrapper(new_node())
        seen = []
        tag = wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: seen.append((wrapper.count, wrapper.name)))
        wrapper.count = 4
        assert seen == [(4, "")]
        with slicer.util.NodeModify(wrapper):
            wrapper.count = 5
            wrapper.name = "x"
            assert seen == [(4, "")]
        assert seen[1:] == [(5, "x")]
        wrapper.RemoveObserver(tag)
        wrapper.count = 6
        assert len(seen) == 2

    def test_a_wrapper_that_is_gone_observes_nothing(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int

        node = new_node()
        wrapper = Wrapper(node)
        assert node.HasObserver(vtk.vtkCommand.ModifiedEvent)
        before = node.GetReferenceCount()
        del wrapper
        node.SetParameter("count", "not a number")
        assert node.GetReferenceCount() <= before

    def test_wrappers_and_packs_are_recognised(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int

        assert isParameterNodeWrapper(Wrapper)
        assert not isParameterNodeWrapper(Point)
        assert isParameterPack(Point())
        assert nestedParameterNames(Box) == ["name", "corner.x", "corner.y"]

    def test_packs_compare_by_value_and_refuse_unknown_arguments(self):
        assert Point(1.0, 2.0) == Point(x=1.0, y=2.0)
        assert Point() != Point(1.0)
        with pytest.raises(TypeError, match="unexpected keyword"):
            Point(z=1.0)
        with pytest.raises(TypeError, match="multiple values"):
            Point(1.0, x=2.0)

    def test_a_wrapper_without_a_node_is_refused(self):
        @parameterNodeWrapper
        class Wrapper:
            count: int

        with pytest.raises(AssertionError):
            Wrapper(None)

    def test_everything_survives_a_file(self, host_without_main_window, tmp_path):
        @parameterNodeWrapper
        class Wrapper:
            names: list[str]
            volume: slicer.vtkMRMLScalarVolumeNode
            preset: Preset = Preset.LUNG

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "kept")
        wrapper = Wrapper(node)
        wrapper.names = ["Leber", "Läsion <1>"]
        wrapper.preset = Preset.BONE
        wrapper.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        slicer.util.saveScene(str(tmp_path / "s.mrb"))
        host_without_main_window.clear_scene()
        slicer.util.loadScene(str(tmp_path / "s.mrb"))
        again = Wrapper(slicer.util.getNode("kept"))
        assert again.names == ["Leber", "Läsion <1>"]
        assert again.preset is Preset.BONE
        assert again.volume.GetName() == "CT"
