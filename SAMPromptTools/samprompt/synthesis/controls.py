"""Controls of the simulator: what can be found by its seams alone must not be found (methods page, section 7)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from samprompt.space.volume import Volume
from samprompt.synthesis.fields import Bool, Float, rank_auroc

_SEAM_MM = 2.0  # on either side of the border of what was made up
_FAR_MM = (6.0, 14.0)  # distance of the voxels it is compared with
_CLASS_HU = (-980.0, -300.0, -20.0, 180.0)  # voxels are compared within lung, fat and soft tissue, never across


def seam_auroc(volume: Volume, edited: Bool) -> dict[str, float]:
    """How well high-frequency cues tell the border of an edit from ordinary tissue; 0.5 is chance.

    ``edited`` (k, j, i) marks the voxels whose content was made up. Two cues that know nothing of the grey level:
    "roughness", the local SD of what a small Gaussian takes away (copied or missing noise), and "edge", the gradient of
    the lightly smoothed image in units of the noise (a cut). Positives lie within 2 mm of the edit's border,
    negatives 6 to 14 mm away from it, on both sides; within lung, fat and soft tissue apart, weighted by their number.
    NaN where the edit is empty or nothing comparable surrounds it.
    """
    array, spacing = volume.array, volume.grid.spacing_kji
    result = {"roughness": float("nan"), "edge": float("nan")}
    if not edited.any() or edited.all():
        return result
    outward = ndimage.distance_transform_edt(~edited, sampling=spacing)
    inward = ndimage.distance_transform_edt(edited, sampling=spacing)
    distance = np.maximum(outward, inward)
    seam = distance <= max(_SEAM_MM, float(spacing.min()))
    far = (distance >= _FAR_MM[0]) & (distance <= _FAR_MM[1])
    smooth = ndimage.gaussian_filter(array, (0.5, 2.0, 2.0))
    kind = np.digitize(smooth, _CLASS_HU)
    # an edge between tissues is anatomy wherever it lies: cues are read where one kind of tissue is alone
    pure = ndimage.maximum_filter(kind, (3, 7, 7)) == ndimage.minimum_filter(kind, (3, 7, 7))
    for name, cue in (("roughness", _roughness(array)), ("edge", _edge(array, spacing.astype(np.float32)))):
        total, weight = 0.0, 0
        for index in range(1, len(_CLASS_HU)):
            chosen = pure & (kind == index)
            positive, negative = cue[seam & chosen], cue[far & chosen]
            if positive.size >= 50 and negative.size >= 50:
                total += positive.size * rank_auroc(positive, negative)
                weight += positive.size
        if weight:
            result[name] = total / weight
    return result


def _roughness(array: Float) -> Float:
    detail = array - ndimage.gaussian_filter(array, (0.0, 1.0, 1.0))
    return np.asarray(np.sqrt(np.maximum(ndimage.uniform_filter(detail * detail, (1, 3, 3)), 0.0)), dtype=np.float32)


def _edge(array: Float, spacing: Float) -> Float:
    smooth = ndimage.gaussian_filter(array, 1.0)
    parts = [ndimage.sobel(smooth, axis=a) / (8.0 * float(s)) for a, s in enumerate(spacing)]
    return np.asarray(np.sqrt(sum(p * p for p in parts)), dtype=np.float32)
