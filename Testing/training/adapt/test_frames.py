"""Pictures that are not square are trained as they are used: padded as SAM pads them, stretched as SAM 2 does."""

from __future__ import annotations

import pytest
import torch
from samprompt.models.backbone import Prompts, logits_to_image
from samprompt_training.adapt.clicks import Given
from samprompt_training.adapt.families import Family
from samprompt_training.adapt.interactive import InteractiveAdaptation
from small_models import CPU, FAMILIES, discs, draws, recipe, sam2_family, sam_family

SIDE = 96  # neither network's own size
SHAPES = [(96, 61), (40, 96), (96, 96)]


@pytest.fixture
def pictures() -> list[torch.Tensor]:
    """Three pictures of other shapes, bright up to their edges."""
    torch.manual_seed(4)
    return [0.4 + 0.6 * torch.rand(1, 3, *shape) for shape in SHAPES]


def _squares(pictures: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures as items have them: at the top left of a black square, with their rows and columns."""
    squares = torch.zeros(len(pictures), pictures[0].shape[1], SIDE, SIDE)
    for square, picture in zip(squares, pictures, strict=True):
        square[:, : picture.shape[-2], : picture.shape[-1]] = picture[0]
    return squares, torch.tensor([tuple(picture.shape[-2:]) for picture in pictures])


def test_training_encodes_the_picture_that_a_user_gives(family: Family, pictures: list[torch.Tensor]) -> None:
    squares, extent = _squares(pictures)
    backbone = family.backbone(CPU)
    family.network.eval()
    features = family.encode(squares, extent)
    for n, picture in enumerate(pictures):
        expected = backbone.encode(picture)
        levels = (expected.tokens, *expected.high_res)
        for found, level in zip(features, levels, strict=True):
            torch.testing.assert_close(found[n : n + 1].detach(), level, atol=1e-4, rtol=1e-4)


def test_a_prompt_and_its_answer_lie_where_the_user_has_them(family: Family, pictures: list[torch.Tensor]) -> None:
    """A point on a mask of one pixel: where training has it in its frame, the backbone has it in the picture."""
    family.network.eval()
    backbone = family.backbone(CPU)
    for picture in pictures:
        rows, columns = picture.shape[-2:]
        y, x = rows * 3 // 4, columns // 3
        truth = torch.zeros(1, 1, rows, columns)
        truth[..., y - 2 : y + 3, x - 2 : x + 3] = 1
        squares, extent = _squares([picture])
        masks, _ = _squares([truth])
        framed = family.framed(masks, extent)
        assert set(framed.unique().tolist()) == {0.0, 1.0}
        place = torch.nonzero(framed[0, 0]).float().mean(0).flip(0) + 0.5  # x, y of its centre
        given = Given(place.view(1, 1, 2), torch.ones(1, 1))
        trained = family.decode(family.encode(squares, extent), given, SIDE).logits.detach()
        point = torch.tensor([[[x + 0.5, y + 0.5]]])
        embedding = backbone.encode(picture)
        used = backbone.decode(embedding, Prompts(points=point, labels=torch.ones(1, 1))).logits
        # whole pixels of the stretched mask, and of the padded picture's shorter side, leave a fraction of a pixel
        far = backbone.decode(embedding, Prompts(points=point + 12.0, labels=torch.ones(1, 1))).logits
        assert float((trained - used).norm()) < 0.15 * float((far - used).norm())
        answered = logits_to_image(trained, embedding, family.input_size)
        assert answered.shape[-2:] == (rows, columns)


def test_the_truth_of_a_stretched_picture_keeps_its_share_and_small_structures() -> None:
    family = sam2_family()
    truth = torch.zeros(2, 1, SIDE, SIDE)
    truth[0, 0, 10:40, 20:50] = 1
    truth[1, 0, 33, 17] = 1
    framed = family.framed(truth, torch.tensor([(SIDE, 60), (48, SIDE)]))
    assert float(framed[0].mean()) == pytest.approx(30 * 30 / (SIDE * 60), rel=0.05)
    assert float(framed[1].sum()) == 2
    assert torch.equal(family.framed(truth, torch.tensor([(SIDE, SIDE)] * 2)), truth)
    assert torch.equal(sam_family().framed(truth, torch.tensor([(SIDE, 60), (48, SIDE)])), truth)


def test_a_batch_of_items_is_encoded_without_its_padding(pictures: list[torch.Tensor]) -> None:
    """Through the iterations of a training: noise in the padding changes nothing."""
    squares, extent = _squares(pictures)
    truth = torch.zeros(3, 1, SIDE, SIDE)
    truth[:, :, 10:30, 20:45] = 1
    noisy = squares.clone()
    noisy[0, :, :, 61:] = 0.7
    noisy[1, :, 40:] = 0.7
    for make in FAMILIES.values():
        found = []
        for images in (squares, noisy):
            trained = InteractiveAdaptation(make(), recipe(interaction={"iterations": 3}))
            carried, losses = None, []
            for iteration in range(3):
                batch = {"image": images, "mask": truth, "extent": extent}
                loss, _, carried = trained(batch, draws(0, iteration), carried)
                losses.append(float(loss.detach()))
            found.append(losses)
        assert found[0] == found[1]


def test_sam_2_clicks_are_drawn_in_the_stretched_picture() -> None:
    family = sam2_family()
    trained = InteractiveAdaptation(family, recipe(interaction={"iterations": 1, "mask_only": 0, "first": ("point",)}))
    asked: list[Given] = []
    plain = family.decode

    def spy(features, given, side):
        asked.append(given)
        return plain(features, given, side)

    family.decode = spy  # type: ignore[method-assign]
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 10:14, 28:32] = 1  # at the right edge of a picture of 64 x 32
    batch = discs(2) | {"mask": mask, "extent": torch.tensor([(64, 32), (64, 64)])}
    trained(batch, draws(), None)
    x = asked[0].points[:, 0, 0]
    assert 56 <= float(x[0]) < 64
    assert 28 <= float(x[1]) < 32
