"""What a slice of the follow-up may look like: P2SAM's masks, the warped prior, refined priors, and nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.propagation import PathParameters, PropagationParameters
from samprompt.models.backbone import Backbone, Prompts, logits_to_image, mask_to_prompt
from samprompt.prompting import p2sam
from samprompt.prompting.reduction import covered_tokens
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import EMPTY_DISTANCE, distance
from samprompt.propagation.encoding import Encoded

Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SliceCandidate:
    """One possible section: ``field`` (P, P) is positive inside; retrieval ``distance`` is NaN where unknown."""

    kind: str
    field: Field
    distance: float = float("nan")
    presence: float = float("nan")

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels inside, (P, P)."""
        return self.field > 0


@dataclass(frozen=True, eq=False)
class SliceCandidates:
    """All candidates of one slice and what the path needs to weigh them.

    ``decoder`` (P, P) is the mean logit of the model's answers, clipped; ``guide`` (P, P) the section that was prompted
    with (the prior's own, or its nearest one moved along z) or None; ``points`` the prompts of the best P2SAM candidate
    as x, y, label in region pixels.
    """

    candidates: tuple[SliceCandidate, ...]
    decoder: Field
    guide: NDArray[np.bool_] | None
    points: NDArray[np.float32]


def prior_field(mask: NDArray[np.bool_], pixel: float) -> Field:
    """Signed distance in mm within one plane, positive inside; -1000 everywhere when empty."""
    if not mask.any():
        return np.full(mask.shape, -1000.0, dtype=np.float32)
    inside = ndimage.distance_transform_edt(mask) - 0.5
    outside = ndimage.distance_transform_edt(~mask) - 0.5
    return np.where(mask, inside, -outside).astype(np.float32) * np.float32(pixel)


def soft_prior(mask: NDArray[np.bool_], sigma_pixels: float) -> Field:
    """The prior in [0, 1] with an edge as wide as its error."""
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), sigma_pixels), dtype=np.float32)


def fuse(
    decoder: Field,
    ratio: Field,
    guide: NDArray[np.bool_],
    pixel: float,
    error_mm: float,
    parameters: PathParameters,
    belief: float = 1.0,
) -> SliceCandidate:
    """Pixel by pixel what the path's own costs favour: likelihood, decoder and prior added up, slightly smoothed.

    ``belief`` in [0, 1] weighs the first two against the prior.
    """
    p = parameters
    prior = np.clip(prior_field(guide, pixel) / error_mm, -2.0, 2.0) * 0.5
    field = (
        belief * p.appearance_weight * np.clip(ratio, -p.log_ratio_clip, p.log_ratio_clip)
        + belief * p.decoder_weight * decoder
        + p.prior_weight * prior
    )
    return SliceCandidate("fused", np.asarray(ndimage.gaussian_filter(field, 1.0), dtype=np.float32))


class CandidateMaker:
    """Makes the candidates of one structure slice by slice; holds what all slices share.

    ``reference`` is the structure's tokens on the baseline (and further references); ``error_mm`` the registration's.
    """

    def __init__(
        self, backbone: Backbone, reference: Reference, parameters: PropagationParameters, error_mm: float
    ) -> None:
        self.backbone, self.reference, self.parameters = backbone, reference, parameters
        self.error_mm = max(error_mm, parameters.path.minimum_error)

    @torch.inference_mode()
    def make(
        self,
        encoded: Encoded,
        index: int,
        prior: NDArray[np.bool_] | None,
        hint: NDArray[np.bool_] | None,
    ) -> SliceCandidates:
        """Candidates of slice ``index``.

        ``prior`` is the warped prior on this plane; None where alignment is not trusted. ``hint`` is what to prompt
        with where the prior's own section is empty: its nearest section, moved along z.
        """
        embedding, pixel = encoded.embeddings[index], encoded.region.pixel
        shape = encoded.grey.shape[1:]
        found = [SliceCandidate("empty", np.full(shape, -1.0, np.float32))]
        if prior is not None and prior.any():
            found.append(SliceCandidate("prior", prior_field(prior, pixel)))
        guide = prior if prior is not None and prior.any() else hint
        focus = None
        answers: list[Field] = []
        if guide is not None and guide.any():
            soft = torch.from_numpy(soft_prior(guide, 1.0))
            focus = torch.from_numpy(soft_prior(guide, 1.5 * self.error_mm / pixel)).clamp(0, 1)
            focus = focus / focus.max().clamp_min(1e-6)
            refined, presence = self._refined(encoded, index, soft)
            for number, field in enumerate(refined):
                found.append(SliceCandidate(f"refined {number + 1}", field, presence=presence[number]))
                answers.append(field)
        p2sam_found = p2sam.candidates(
            self.reference,
            embedding,
            self.backbone,
            self.parameters.prompting,
            focus,
            batch=self.parameters.decode_batch,
        )
        for candidate in p2sam_found:
            logits = logits_to_image(candidate.logits[None, None], embedding, self.backbone.input_size)
            field = logits[0, 0].float().cpu().numpy()
            found.append(
                SliceCandidate(
                    f"p2sam n={candidate.n} m={candidate.m}",
                    field,
                    candidate.distance,
                    float("nan") if candidate.presence is None else candidate.presence,
                )
            )
            answers.append(field)
        clip = self.parameters.path.log_ratio_clip
        decoder = np.zeros(shape, np.float32)
        if answers:
            decoder = np.mean([np.clip(a, -clip, clip) for a in answers], axis=0).astype(np.float32)
        points = np.zeros((0, 3), np.float32)
        if p2sam_found:
            best = p2sam.choose(p2sam_found, self.parameters.prompting)
            points = torch.cat((best.points, best.labels[:, None].float()), dim=1).cpu().numpy()
        outside = ~encoded.region.inside
        kept = tuple(
            SliceCandidate(c.kind, np.where(outside, np.float32(-1000.0), c.field), c.distance, c.presence)
            for c in found
        )
        return SliceCandidates(kept, decoder, guide if guide is not None and guide.any() else None, points)

    def nothing(self, encoded: Encoded) -> SliceCandidates:
        """Only the empty section: a slice too far from the prior to be searched."""
        shape = encoded.grey.shape[1:]
        empty = SliceCandidate("empty", np.full(shape, -1.0, np.float32))
        return SliceCandidates((empty,), np.zeros(shape, np.float32), None, np.zeros((0, 3), np.float32))

    def _refined(self, encoded: Encoded, index: int, soft: torch.Tensor) -> tuple[list[Field], list[float]]:
        """The model's answers to the prior as mask prompt, alone and then with its own answer's box."""
        embedding = encoded.embeddings[index]
        prompt = mask_to_prompt(soft[None, None], self.backbone.mask_size).to(embedding.tokens.device)
        first = self.backbone.decode(embedding, Prompts(masks=prompt))
        fields, presence = [], []
        logits = first.logits[:, :1]
        for number in range(2):
            image = logits_to_image(logits, embedding, self.backbone.input_size)[0, 0]
            fields.append(image.float().cpu().numpy())
            presence.append(float("nan") if first.presence is None else float(first.presence[0]))
            if number == 1 or not bool((image > 0).any()):
                break
            rows, columns = torch.nonzero(image > 0, as_tuple=True)
            box = torch.stack((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)).float()[None]
            first = self.backbone.decode(embedding, Prompts(boxes=box, masks=logits))
            logits = first.logits[:, :1]
        return fields, presence

    def distances(self, encoded: Encoded, index: int, masks: NDArray[np.bool_]) -> list[float]:
        """Retrieval distance of each mask (N, P, P) on slice ``index`` to the reference."""
        embedding = encoded.embeddings[index]
        inside = covered_tokens(torch.from_numpy(masks), embedding, self.backbone.input_size, self.parameters.prompting)
        tokens = embedding.matching[0].flatten(1).T.float().cpu()
        reference = self.reference.foreground.cpu()
        found = []
        for covered in inside:
            chosen = tokens[covered.flatten().cpu()]
            found.append(distance(reference, chosen, self.parameters.prompting) if len(chosen) else EMPTY_DISTANCE)
        return found
