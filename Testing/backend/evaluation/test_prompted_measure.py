"""Models whose answers are known beforehand: what a measurement with prompts must say of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from samprompt.contract.errors import Cancelled, GridError, StructureError
from samprompt.contract.progress import Progress
from samprompt.evaluation.prompted import AS_GIVEN, ELLIPSE, OTSU, measure
from samprompt.evaluation.prompted_baselines import filled_box
from samprompt.evaluation.prompted_crop import cut
from samprompt.evaluation.prompted_images import PromptedImage
from samprompt.evaluation.prompted_model import BOX, CLICK, CLICKS, NOTHING, PRIOR, PROMPTS, answers
from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.evaluation.prompted_pieces import Piece, pieces_of
from samprompt.evaluation.prompted_report import compared, heading, paired, tables
from samprompt.evaluation.prompted_rows import PromptedRow, by_patient, hausdorff95, rows_to_text
from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

KNOWN = PromptedParameters()
UNIT = Window(0.0, 1.0)


class Fake:
    """A model of 128 pixels; ``answer(image, prompts)`` gives logits (mask_size, mask_size)."""

    name, fingerprint = "fake", "0" * 16
    input_size, mask_size, matching_stride = 128, 64, 4.0
    uses_neighbours = True
    device = torch.device("cpu")

    def __init__(self, answer: Callable[[torch.Tensor, Prompts], torch.Tensor]) -> None:
        self.answer = answer
        self.images: list[torch.Tensor] = []
        self.prompts: list[Prompts] = []

    def encode(self, images: torch.Tensor) -> Embedding:
        self.images.append(images)
        shape = (int(images.shape[-2]), int(images.shape[-1]))
        return Embedding(images, images, (), shape, (1.0, 1.0))

    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        self.prompts.append(prompts)
        return Decoded(self.answer(embedding.tokens[0], prompts)[None, None], torch.ones(1, 1), torch.tensor([2.5]))


def bright(image: torch.Tensor, _: Prompts) -> torch.Tensor:
    """What is bright in the middle slice."""
    small = torch.nn.functional.interpolate(image[None, 1:2], (64, 64), mode="bilinear", antialias=True)
    return (small[0, 0] - 0.5) * 20


def nothing(_image: torch.Tensor, _prompts: Prompts) -> torch.Tensor:
    return torch.full((64, 64), -5.0)


def whole(_image: torch.Tensor, _prompts: Prompts) -> torch.Tensor:
    return torch.full((64, 64), 5.0)


def box_alone(_image: torch.Tensor, prompts: Prompts) -> torch.Tensor:
    """The box prompt itself, edges to a fraction of a pixel."""
    if prompts.boxes is None:
        return torch.full((64, 64), -5.0)
    x0, y0, x1, y1 = (prompts.boxes[0] / 2).tolist()  # from 128 to 64
    centres = torch.arange(64) + 0.5
    along = torch.minimum(centres - x0, x1 - centres)
    down = torch.minimum(centres - y0, y1 - centres)
    return torch.minimum(along[None], down[:, None])


def mask_alone(_image: torch.Tensor, prompts: Prompts) -> torch.Tensor:
    return torch.full((64, 64), -5.0) if prompts.masks is None else prompts.masks[0, 0]


def make_visit(mask: np.ndarray, spacing: tuple[float, float, float] = (0.8, 1.5, 4.0), turned: bool = True) -> Visit:
    """A scan that shows ``mask`` (k, j, i) as 1 on 0; i and j run against the axes when ``turned``."""
    matrix = np.diag([*spacing, 1.0])
    if turned:
        matrix[:2, :2] *= -1
    matrix[:3, 3] = (37.0, -12.0, 5.0)
    grid = Grid(mask.shape, matrix)
    return Visit("visit", Volume(mask.astype(np.float32), grid, "OT", "visit"), (Structure("gtv", mask, grid),))


def image_of(load: Callable[[], Visit], patient: str = "A", data_set: str = "ct_sarcoma") -> PromptedImage:
    return PromptedImage(data_set, patient, patient, "mm", load)


@pytest.fixture
def tumour() -> np.ndarray:
    k, j, i = np.indices((5, 60, 90)).astype(float)
    return np.asarray(((k - 2) / 2.2) ** 2 + ((j - 33) / 14) ** 2 + ((i - 21) / 19) ** 2 <= 1)


def values(rows: list[PromptedRow], who: str, prompt: str) -> list[float]:
    return [row.dice for row in rows if row.who == who and row.prompt == prompt]


def test_a_perfect_model_is_found_perfect_with_every_prompt(tumour: np.ndarray):
    rows = measure([image_of(lambda: make_visit(tumour))], {"perfect": Fake(bright)}).rows
    for prompt in (BOX, CLICK, CLICKS, NOTHING):
        found = values(rows, "perfect", prompt)
        assert len(found) == 5
        assert min(found) > 0.97, prompt
    # the crop round the prior shows what the prior is near to; most of the object is in it
    assert min(values(rows, "perfect", PRIOR)) > 0.9
    assert max(row.hd95 for row in rows if row.who == "perfect" and row.prompt != PRIOR) <= 1.5  # one pixel


def test_a_model_that_finds_nothing_has_dice_zero_and_is_counted(tumour: np.ndarray):
    rows = measure([image_of(lambda: make_visit(tumour))], {"blind": Fake(nothing)}).rows
    mine = [row for row in rows if row.who == "blind"]
    assert len(mine) == 25
    assert all(row.dice == 0 and row.missed and row.presence == 2.5 for row in mine)
    missed = next(table for table in tables(rows) if table.title.startswith("Pieces of which"))
    assert {row[0]: row[1] for row in missed.rows} == {f"{prompt}: blind": "5" for prompt in PROMPTS}
    assert math.isnan(by_patient(mine, lambda row: row.hd95).value)


def test_what_a_model_answers_lies_where_it_saw_it():
    """An object far from the middle in a turned scan whose pixels are not square: a shift of one pixel would show."""
    mask = np.zeros((3, 40, 50), bool)
    mask[1, 4:24, 31:45] = True
    visit = make_visit(mask)
    piece = next(iter(pieces_of(mask, "x", KNOWN)))
    found = {a.prompt: a for a in answers(Fake(box_alone), visit.volume, UNIT, piece, mask[1], KNOWN)}
    expected = filled_box(piece.box, mask[1].shape)
    assert np.count_nonzero(found[BOX].mask != expected) <= 2
    assert not found[CLICK].mask.any()
    # twice the longest side in mm: 20 pixels of 1.5 mm, give or take the jitter
    assert found[BOX].crop_side == pytest.approx(2 * 1.5 * (piece.box[3] - piece.box[1]))
    assert found[PRIOR].crop_side == pytest.approx(60.0)


def test_the_prior_reaches_the_model_where_it_lies(tumour: np.ndarray):
    rows = measure([image_of(lambda: make_visit(tumour))], {"echo": Fake(mask_alone)}).rows
    given, echoed = values(rows, AS_GIVEN, PRIOR), values(rows, "echo", PRIOR)
    assert np.allclose(given, echoed, atol=0.03)
    assert max(given) < 1


def test_clicks_are_inside_the_object_and_corrections_come_with_the_last_logits(tumour: np.ndarray):
    fake = Fake(whole)
    visit = make_visit(tumour)
    for piece in pieces_of(tumour, "x", KNOWN):
        fake.prompts.clear()
        list(answers(fake, visit.volume, UNIT, piece, piece.mask, KNOWN))
        first, second, third = (p for p in fake.prompts if p.points is not None)
        crop = cut(visit.volume, UNIT, piece.k, piece.box, fake, KNOWN)
        edges = crop.places(np.array([[0.0, 0.0], [1.0, 1.0]]))  # of the slice's first pixel
        at = (first.points[0, 0].numpy() - edges[0]) / (edges[1] - edges[0])
        assert piece.mask[int(at[1]), int(at[0])]
        assert first.labels.tolist() == [[1]]
        assert first.masks is None
        assert second.labels.tolist() == [[1, 0]]  # everything was marked: the correction is negative
        assert torch.equal(second.points[:, :1], first.points)
        assert torch.equal(third.points[:, :2], second.points)
        assert float(second.masks.min()) == float(third.masks.max()) == 5.0


def test_a_perfect_answer_gets_no_second_click():
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 24:40, 24:40] = True
    fake = Fake(bright)
    visit = make_visit(mask, (1.0, 1.0, 1.0), turned=False)
    piece = Piece(0, 1, mask[0], np.array([24.0, 24.0, 40.0, 40.0]), np.random.default_rng(0))
    found = {a.prompt: a for a in answers(fake, visit.volume, UNIT, piece, mask[0], KNOWN)}
    assert np.array_equal(found[CLICK].mask, mask[0])
    assert np.array_equal(found[CLICKS].mask, mask[0])
    assert sum(p.points is not None for p in fake.prompts) == 1


def test_neighbours_are_the_slices_below_and_above_and_the_ends_are_repeated():
    mask = np.zeros((3, 20, 20), bool)
    mask[:, 6:14, 6:14] = True
    visit = make_visit(mask)
    levels = np.broadcast_to(np.array([0.2, 0.4, 0.6], np.float32)[:, None, None], mask.shape)
    volume = Volume(levels, visit.volume.grid, "OT", "levels")
    fake = Fake(nothing)
    for k, wanted in ((0, [0.2, 0.2, 0.4]), (1, [0.2, 0.4, 0.6]), (2, [0.4, 0.6, 0.6])):
        cut(volume, UNIT, k, np.array([6.0, 6.0, 14.0, 14.0]), fake, KNOWN)
        assert fake.images[-1][0, :, 64, 64].tolist() == pytest.approx(wanted)
    fake.uses_neighbours = False
    cut(volume, UNIT, 1, np.array([6.0, 6.0, 14.0, 14.0]), fake, KNOWN)
    assert fake.images[-1].shape == (1, 3, 128, 128)
    assert fake.images[-1][0, :, 64, 64].tolist() == pytest.approx([0.4, 0.4, 0.4])


def test_a_lesion_of_three_voxels_in_a_corner_is_measured_on_a_crop_of_sixteen_pixels():
    mask = np.zeros((2, 10, 10), bool)  # smaller than the crop, which is filled up
    mask[1, 0, 0:3] = True
    visit = make_visit(mask, (2.0, 2.0, 3.0))
    rows = measure([image_of(lambda: visit)], {"perfect": Fake(bright), "blind": Fake(nothing)}).rows
    assert {row.pixels for row in rows} == {3}
    box = next(row for row in rows if row.prompt == BOX and row.who == "perfect")
    assert box.crop == pytest.approx(32.0)
    assert box.dice == 1.0
    assert values(rows, ELLIPSE, BOX)[0] > 0.7
    assert values(rows, OTSU, BOX) == [1.0]
    assert values(rows, "blind", BOX) == [0.0]


def test_a_structure_that_is_empty_is_passed_over(tumour: np.ndarray):
    visit = make_visit(tumour)
    empty = Structure("nothing", np.zeros_like(tumour), visit.volume.grid)
    both = Visit("visit", visit.volume, (empty, *visit.structures))
    assert {row.structure for row in measure([image_of(lambda: both)], {}).rows} == {"gtv"}


def test_an_image_with_nothing_to_measure_is_named_and_nothing_at_all_is_an_error(tumour: np.ndarray):
    visit = make_visit(tumour)
    only = Visit("visit", visit.volume, (Structure("nothing", np.zeros_like(tumour), visit.volume.grid),))
    found = measure([image_of(lambda: visit, "A"), image_of(lambda: only, "B")], {})
    assert [name for name, _ in found.left_out] == ["ct_sarcoma: B"]
    with pytest.raises(StructureError, match="no structure"):
        measure([image_of(lambda: only)], {})


def test_an_image_that_cannot_be_used_is_named_and_the_others_are_measured(tumour: np.ndarray):
    def broken() -> Visit:
        raise GridError("b.nii.gz is sheared.", "Resample it.")

    flat = make_visit(tumour)
    constant = Visit("c", Volume(np.zeros(tumour.shape, np.float32), flat.volume.grid, "OT", "c.nii.gz"))
    images = [image_of(lambda: make_visit(tumour), "A"), image_of(broken, "B"), image_of(lambda: constant, "C")]
    found = measure(images, {})
    assert {row.patient for row in found.rows} == {"A"}
    assert [name for name, _ in found.left_out] == ["ct_sarcoma: B", "ct_sarcoma: C"]
    assert found.left_out[0][1] == "b.nii.gz is sheared."
    assert "c.nii.gz has the same value everywhere" in found.left_out[1][1]
    with pytest.raises(GridError, match=r"b\.nii\.gz"):
        measure(images[1:], {})


def test_it_can_be_stopped(tumour: np.ndarray):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        measure([image_of(lambda: make_visit(tumour))], {}, progress=progress)


def test_the_same_seed_gives_the_same_table_in_any_order_of_patients(tumour: np.ndarray):
    images = [image_of(partial(make_visit, np.roll(tumour, 3 * n, 2)), f"P{n}") for n in range(3)]
    one = measure(images, {"perfect": Fake(bright)}).rows
    again = measure(images[::-1], {"perfect": Fake(bright)}).rows
    assert sorted(rows_to_text(one).splitlines()) == sorted(rows_to_text(again).splitlines())


def test_hd95_is_that_of_outlines_in_the_plane_and_takes_the_spacing_into_account():
    truth, moved = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    truth[20:40, 20:50] = True
    moved[20:40, 27:57] = True  # seven columns of 0.5, rows of 3
    spacing = np.array([3.0, 0.5])
    assert hausdorff95(truth, moved, spacing) == pytest.approx(3.5)
    assert hausdorff95(truth, truth, spacing) == 0.0
    assert hausdorff95(truth, moved, spacing) == hausdorff95(moved, truth, spacing)
    assert math.isnan(hausdorff95(truth, np.zeros_like(truth), spacing))
    spike = truth.copy()
    spike[10:20, 30] = (
        True  # a thin spike of 30 holds more than 5 % of the outline; the nearest edge is 1 to 10 rows off
    )
    assert 20.0 < hausdorff95(truth, spike, spacing) <= 30.0


def a_row(patient: str, structure: str, dice: float, who: str = "m", prompt: str = BOX, k: int = 0, hd95: float = 1.0):
    return PromptedRow("ct_sarcoma", patient, patient, structure, k, 1, 9, "mm", prompt, who, dice, hd95, 20.0)


def test_means_are_taken_over_pieces_then_structures_then_patients():
    rows = [a_row("A", "liver", 1.0, k=n) for n in range(8)] + [a_row("A", "rib", 0.5), a_row("B", "liver", 0.25)]
    found = by_patient(rows, lambda row: row.dice)
    assert found.value == pytest.approx(((1.0 + 0.5) / 2 + 0.25) / 2)
    assert (found.count, found.patients) == (10, 2)
    assert found.low <= found.value <= found.high
    alone = by_patient(rows[:9], lambda row: row.dice)
    assert math.isnan(alone.low)  # one patient says nothing about others


def test_differences_are_paired_by_piece_and_missed_pieces_have_none_of_distance():
    ellipse = [a_row("A", "s", 0.8, ELLIPSE, k=n, hd95=4.0) for n in range(3)]
    model = [a_row("A", "s", 0.9, "m", k=0, hd95=1.0), a_row("A", "s", 0.0, "m", k=2, hd95=math.nan)]
    found = paired(ellipse + model, (BOX, "m"), (BOX, ELLIPSE))
    assert [round(row.dice, 6) for row in found] == [0.1, -0.8]
    assert by_patient(found, lambda row: row.hd95).value == -3.0


def test_later_models_are_compared_with_the_first_one_named(tumour: np.ndarray):
    models = {"perfect": Fake(bright), "blind": Fake(nothing)}
    rows = measure([image_of(lambda: make_visit(tumour))], models).rows
    pairs = {text: (one, other) for text, one, other in compared(rows)}
    assert pairs["blind, box: over perfect"] == ((BOX, "blind"), (BOX, "perfect"))
    assert pairs["perfect, three clicks: over its own box"] == ((CLICKS, "perfect"), (BOX, "perfect"))
    assert "perfect, box: over perfect" not in pairs
    table = next(t for t in tables(rows) if t.title == "Differences in Dice points")
    cell = {row[0]: row[1] for row in table.rows}["blind, box: over perfect"]
    assert -100.0 <= float(cell) < -97.0


def test_the_heading_says_every_constant_that_decides_a_figure():
    text = heading(KNOWN, {"tiny": "abc"})
    for said in ("tiny (abc)", "5 %", "at most 10 slices", "0 to 10 mm", "35 %", "2 times", "16", "512", "seed 1"):
        assert said in text, said
    noted = heading(KNOWN, {"tiny": "abc"}, "Steered by tumours.")
    assert "\n\nSteered by tumours.\n\n" in noted
    assert noted.replace("\n\nSteered by tumours.\n\n", "\n\n") == text
