"""P2SAM written a second time, as plainly as its recipe reads (methods page, section 1.1): the tests' truth.

One image at a time, one part at a time, one decoder call per pass and candidate, straight on ``segment_anything``'s
modules. Shares no line with ``samprompt``.
"""

from __future__ import annotations

import numpy as np
import ot
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans


def resize_like_sam(picture, side, antialias=True):
    """(C, H, W) -> (C, rows, columns): the longest side becomes ``side``."""
    height, width = picture.shape[-2:]
    rows = int(height * (side / max(height, width)) + 0.5)
    columns = int(width * (side / max(height, width)) + 0.5)
    return F.interpolate(picture[None], (rows, columns), mode="bilinear", align_corners=False, antialias=antialias)[0]


def pad_to_square(picture, side):
    return F.pad(picture, (0, side - picture.shape[-1], 0, side - picture.shape[-2]))


def encode(sam, image):
    """Image (3, H, W) in [0, 1] -> features (C, h, w)."""
    resized = resize_like_sam(image * 255.0, sam.image_encoder.img_size)
    return sam.image_encoder(sam.preprocess(resized)[None])[0]


def token_is_image(sam, shape, tokens):
    """Tokens (h, w) whose centre is in the image and not in the padding."""
    side = max(shape)
    answer = np.zeros((tokens, tokens), bool)
    for row in range(tokens):
        for column in range(tokens):
            answer[row, column] = (row + 0.5) * side < shape[0] * tokens and (column + 0.5) * side < shape[1] * tokens
    return answer


def tokens_of_mask(sam, mask, tokens):
    """Step 2: mask (H, W) -> foreground tokens (h, w)."""
    side = sam.image_encoder.img_size
    square = pad_to_square(resize_like_sam(mask[None].float(), side), side)
    small = F.interpolate(square[None], (tokens, tokens), mode="bilinear", align_corners=False)[0, 0].numpy()
    middle = (small.max() + small.min()) / 2.0
    return (small - middle > 1e-4) & token_is_image(sam, mask.shape, tokens)


def unit(vector):
    return vector / np.linalg.norm(vector)


def part_vectors(tokens, n):
    """Step 3: tokens (T, C) -> n unit vectors, or None."""
    if n > len(tokens):
        return None
    if n == 1:
        return [unit(tokens.mean(axis=0))]
    labels = KMeans(n, init="k-means++", n_init=10, random_state=0).fit(tokens).labels_
    return [unit(tokens[labels == part].mean(axis=0)) for part in range(n)]


def to_image(sam, low, shape):
    """(h, w) -> (H, W), through the input square."""
    side = sam.image_encoder.img_size
    big = F.interpolate(low[None, None], (side, side), mode="bilinear", align_corners=False)
    rows = int(shape[0] * (side / max(shape)) + 0.5)
    columns = int(shape[1] * (side / max(shape)) + 0.5)
    return F.interpolate(big[..., :rows, :columns], tuple(shape), mode="bilinear", align_corners=False)[0, 0]


def similarity(sam, vector, features, shape):
    """Step 4: cosine similarity with the target, at the image's size."""
    channels, height, width = features.shape
    target = features.numpy().reshape(channels, -1)
    target = target / np.linalg.norm(target, axis=0, keepdims=True)
    cosine = (vector.astype(np.float32) @ target).reshape(height, width)
    return to_image(sam, torch.from_numpy(cosine), shape).numpy()


def pixel_of(index, shape):
    row, column = np.unravel_index(index, shape)
    return (column + 0.5, row + 0.5)  # the middle of the pixel


def decode_once(sam, features, shape, points, labels, box, mask, multimask):
    scale = sam.image_encoder.img_size / max(shape)
    points = torch.tensor(points, dtype=torch.float32)[None] * scale - 0.5  # SAM adds the half pixel again
    labels = torch.tensor(labels, dtype=torch.int64)[None]
    boxes = None if box is None else torch.tensor(box, dtype=torch.float32)[None] * scale - 0.5
    masks = None if mask is None else mask[None, None]
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=boxes, masks=masks)
    logits, iou = sam.mask_decoder(
        image_embeddings=features[None],
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
    )
    best = int(torch.argmax(iou[0]))
    return logits[0, best]


def decode_cascade(sam, features, shape, points, labels, multimask):
    """Step 6: points; points + logits; points + box + logits. Without a mask there is no box and no third pass."""
    logits = decode_once(sam, features, shape, points, labels, None, None, False)
    logits = decode_once(sam, features, shape, points, labels, None, logits, multimask)
    rows, columns = np.nonzero(to_image(sam, logits, shape).numpy() > 0)
    if len(rows) == 0:
        return logits
    box = (columns.min() + 0.5, rows.min() + 0.5, columns.max() + 0.5, rows.max() + 0.5)
    return decode_once(sam, features, shape, points, labels, box, logits, multimask)


def transport(reference_tokens, target_tokens):
    """Step 7: exact optimal transport, uniform weights, squared Euclidean cost, written out."""
    one = reference_tokens.astype(np.float64)
    two = target_tokens.astype(np.float64)
    cost = np.zeros((len(one), len(two)))
    for row in range(len(one)):
        cost[row] = ((one[row] - two) ** 2).sum(axis=1)
    return float(ot.emd2(ot.unif(len(one)), ot.unif(len(two)), cost, numItermax=10_000_000))


@torch.no_grad()
def run(sam, reference_image, reference_mask, target_image, n_range, m_range, natural):
    """All candidates, and which of them is the answer.

    Returns a list of dicts (n, m, points, labels, logits, mask, distance) and the index of the chosen one.
    """
    reference = encode(sam, reference_image)
    target = encode(sam, target_image)
    channels, tokens, _ = reference.shape
    shape = tuple(target_image.shape[-2:])
    inside = tokens_of_mask(sam, reference_mask, tokens)
    outside = token_is_image(sam, tuple(reference_mask.shape), tokens) & ~inside
    reference_tokens = reference.numpy().reshape(channels, -1).T[inside.ravel()]
    background_tokens = reference.numpy().reshape(channels, -1).T[outside.ravel()]
    target_tokens = target.numpy().reshape(channels, -1).T

    found = []
    for n in range(n_range[0], n_range[1] + 1):
        vectors = part_vectors(reference_tokens, n)
        if vectors is None:
            continue
        maps = [similarity(sam, vector, target, shape) for vector in vectors]
        positives = [pixel_of(np.argmax(one), shape) for one in maps]
        for m in range(m_range[0], m_range[1] + 1):
            if natural:
                negatives = [pixel_of(np.argmin(sum(maps) / len(maps)), shape)]
            else:
                vectors = part_vectors(background_tokens, m)
                if vectors is None:
                    continue
                negatives = [pixel_of(np.argmax(similarity(sam, vector, target, shape)), shape) for vector in vectors]
            points = positives + negatives
            labels = [1] * len(positives) + [0] * len(negatives)
            logits = decode_cascade(sam, target, shape, points, labels, multimask=natural)
            mask = to_image(sam, logits, shape) > 0
            covered = tokens_of_mask(sam, mask, tokens).ravel() if mask.any() else np.zeros(tokens * tokens, bool)
            far = transport(reference_tokens, target_tokens[covered]) if covered.any() else 1e10
            found.append(
                {"n": n, "m": m, "points": points, "labels": labels, "logits": logits, "mask": mask, "distance": far}
            )
    chosen = min(range(len(found)), key=lambda index: found[index]["distance"]) if found else None
    return found, chosen
