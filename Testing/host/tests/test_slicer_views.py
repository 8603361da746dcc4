"""The layout manager: real slice logics that jump, show layers and fit; strict about everything else."""

import numpy as np
import pytest
import slicer


def volume():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(node, np.zeros((20, 30, 40), np.int16))
    node.CreateDefaultDisplayNodes()
    return node


def test_the_three_slice_views_are_there_with_their_orientations(host):
    layout = slicer.app.layoutManager()
    assert set(layout.sliceViewNames()) == {"Red", "Green", "Yellow"}
    orientations = {name: layout.sliceWidget(name).mrmlSliceNode().GetOrientation() for name in layout.sliceViewNames()}
    assert orientations == {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
    assert layout.sliceWidget("Blue") is None


def test_jumping_moves_all_slices(host):
    slicer.util.setSliceViewerLayers(background=volume(), fit=True)
    slicer.modules.markups.logic().JumpSlicesToLocation(-12.0, -9.0, 7.0, True)
    layout = slicer.app.layoutManager()
    # Where the plane lies in RAS: the sign of the offset itself depends on the view's orientation preset.
    places = {
        name: layout.sliceWidget(name).mrmlSliceNode().GetSliceToRAS().MultiplyPoint((0, 0, 0, 1))
        for name in layout.sliceViewNames()
    }
    assert places["Red"][2] == pytest.approx(7.0)
    assert places["Yellow"][0] == pytest.approx(-12.0)
    assert places["Green"][1] == pytest.approx(-9.0)


def test_the_layers_of_all_views_can_be_set(host):
    ct = volume()
    slicer.util.setSliceViewerLayers(background=ct, foreground=ct, foregroundOpacity=0.3)
    for name in slicer.app.layoutManager().sliceViewNames():
        composite = slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == ct.GetID()
        assert composite.GetForegroundOpacity() == pytest.approx(0.3)


def test_fitting_shows_the_whole_volume(host):
    slicer.util.setSliceViewerLayers(background=volume())
    slicer.util.resetSliceViews()
    width, height, _ = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetFieldOfView()
    assert width >= 40.0
    assert height >= 30.0


def test_a_loaded_volume_is_shown_in_the_views(host, tmp_path):
    slicer.util.saveNode(volume(), str(tmp_path / "ct.nrrd"))
    host.clear_scene()
    ct = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"))
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == ct.GetID()
    other = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"), {"show": False})
    assert composite.GetBackgroundVolumeID() != other.GetID()


def test_the_views_outlive_the_closing_of_the_scene(host):
    slicer.util.setSliceViewerLayers(background=volume())
    host.clear_scene()
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetScene() is slicer.mrmlScene
    assert composite.GetBackgroundVolumeID() is None


def test_changing_the_layout_is_told_and_changes_the_views(host):
    heard = []
    layout = slicer.app.layoutManager()
    assert layout.connect("layoutChanged(int)", heard.append)
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert heard == [slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView]
    assert layout.sliceViewNames() == ("Red",)
    assert layout.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    assert layout.threeDViewCount == 0
    assert layout.threeDWidget(0) is None


def test_names_that_the_views_do_not_have_raise(host):
    layout = slicer.app.layoutManager()
    for thing in (layout, layout.sliceWidget("Red"), layout.sliceWidget("Red").sliceController()):
        with pytest.raises(AttributeError, match="has no attribute named"):
            thing.nonsense  # noqa: B018
        with pytest.raises(AttributeError, match="creating new attributes"):
            thing.nonsense = 1
    with pytest.raises(NotImplementedError, match="setLayoutNumberOfCompareViewRows"):
        layout.setLayoutNumberOfCompareViewRows(2)


def test_without_a_main_window_jumping_has_nothing_to_move_and_does_no_harm(host_without_main_window):
    slicer.modules.markups.logic().JumpSlicesToLocation(1.0, 2.0, 3.0, True)
    slicer.util.setSliceViewerLayers(background=volume(), fit=True)
