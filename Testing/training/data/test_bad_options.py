"""Options and descriptions of datasets of the wrong kind: each is an error that names the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from samprompt.contract.errors import MissingFileError, ParameterError, SamPromptError, UnreadableFileError
from samprompt_training.data.cases import LAYOUTS, open_dataset


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"labels": ["a"]}, "labels"),
        ({"labels": {"a": [1, 2]}}, "labels.a"),
        ({"labels": {"a": "1"}}, "labels.a"),
        ({"labels": {"a": True}}, "labels.a"),
        ({"patient": 3}, "patient"),
        ({"images": 3}, "images"),
        ({"masks": None}, "masks"),
        ({"structure": ["a"]}, "structure"),
        ({"kind": "pet"}, "kind"),
        ({"kind": None}, "kind"),
    ],
)
def test_an_option_of_the_wrong_type_is_named(folders_folder: Path, options: dict[str, Any], key: str) -> None:
    with pytest.raises(ParameterError, match=f"Layout 'folders': the option '{key}' has the value") as caught:
        open_dataset("folders", folders_folder, **({"kind": "ct"} | options))
    assert caught.value.hint


def test_the_choices_of_an_option_are_said(nnunet_folder: Path, nsclc_folder: Path) -> None:
    with pytest.raises(ParameterError, match="'kind' has the value 'CT'") as caught:
        open_dataset("nnunet", nnunet_folder, kind="CT")
    assert "'ct'" in caught.value.message
    with pytest.raises(ParameterError, match="'source' has the value 'seg'") as caught:
        open_dataset("nsclc-radiomics", nsclc_folder, source="seg")
    assert "'SEG'" in caught.value.message
    with pytest.raises(ParameterError, match="structures"):
        open_dataset("nsclc-radiomics", nsclc_folder, structures={"heart": 3})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_option_that_a_layout_has_not_is_refused_with_those_it_has(layout: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="'pateint' is no option") as caught:
        open_dataset(layout, tmp_path, pateint="x")
    assert caught.value.hint


@pytest.mark.parametrize("channels", [["CT"], "CT", 3, {"0": "CT", "1": None}, []])
def test_channels_that_are_not_named_as_nnunet_does_are_refused(nnunet_folder: Path, channels: Any) -> None:
    path = nnunet_folder / "dataset.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(described | {"channel_names": channels}), encoding="utf-8")
    with pytest.raises(UnreadableFileError, match=r"dataset\.json .*channel_names") as caught:
        open_dataset("nnunet", nnunet_folder)
    assert '"0"' in caught.value.hint


@pytest.mark.parametrize("training", [{"image": "a"}, 7, "imagesTr", ["a"]])
def test_a_decathlon_list_of_the_wrong_type_is_refused(msd_folder: Path, training: Any) -> None:
    path = msd_folder / "dataset.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(described | {"training": training}), encoding="utf-8")
    with pytest.raises(UnreadableFileError, match=r"dataset\.json"):
        open_dataset("msd", msd_folder)


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/Xx/MD5E-s1--absent.png")


def test_a_link_to_a_file_that_was_not_fetched_is_named(folders_folder: Path) -> None:
    break_link(folders_folder / "images" / "P2_1.png")
    with pytest.raises(MissingFileError, match=r"P2_1\.png.* link") as caught:
        open_dataset("folders", folders_folder, kind="xray")
    assert "annex" in caught.value.hint


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("nnunet", "imagesTr/lung_001_0000.nii.gz"),
        ("nnunet", "labelsTr/lung_002.nii.gz"),
        ("msd", "labelsTr/BRATS_002.nii.gz"),
        ("brats", "BraTS2021_00000/BraTS2021_00000_t1.nii.gz"),
        ("abdomenct-1k", "Mask/Case_00001.nii.gz"),
        ("kvasir-seg", "Kvasir-SEG/masks/cju0qkwl35piu0993l0dewei1.jpg"),
        ("tn3k", "test-image/0001.jpg"),
    ],
)
def test_every_layout_names_a_link_to_nothing(request: pytest.FixtureRequest, layout: str, file: str) -> None:
    fixture = {"abdomenct-1k": "abdomenct_folder", "kvasir-seg": "kvasir_folder"}.get(layout, f"{layout}_folder")
    folder: Path = request.getfixturevalue(fixture)
    break_link(folder / file)
    with pytest.raises(SamPromptError, match=Path(file).name.split(".")[0]):
        open_dataset(layout, folder)


def test_a_link_to_nothing_in_a_dicom_series_is_named(nsclc_folder: Path) -> None:
    break_link(next(nsclc_folder.rglob("1-003.dcm")))
    with pytest.raises(MissingFileError, match=r"1-003\.dcm.* link"):
        open_dataset("nsclc-radiomics", nsclc_folder)
