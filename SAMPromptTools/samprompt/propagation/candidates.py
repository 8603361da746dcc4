"""What a slice of the follow-up may look like: P2SAM's masks, the warped prior, refined priors, and nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.propagation import PathParameters, PropagationParameters
from samprompt.models.backbone import (
    Backbone,
    Embedding,
    Prompts,
    decodes_pairs,
    join_embeddings,
    logits_to_image,
    mask_to_prompt,
)
from samprompt.prompting import p2sam
from samprompt.prompting.candidate import Candidate
from samprompt.prompting.reduction import covered_tokens, tokens_under
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import distance
from samprompt.propagation.encoding import Encoded

Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SliceCandidate:
    """One possible section: ``field`` (P, P) is positive inside; retrieval ``distance`` is NaN where unknown.

    ``points`` (N, 3) are the point prompts behind it as x, y, label in region pixels; none for the prior, for nothing
    and where the model was prompted with a mask or box only.
    """

    kind: str
    field: Field
    distance: float = float("nan")
    presence: float = float("nan")
    points: NDArray[np.float32] = dataclass_field(default_factory=lambda: np.zeros((0, 3), np.float32))

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


def as_array(candidate: Candidate) -> NDArray[np.float32]:
    """A candidate's prompts as x, y, label, (N, 3)."""
    return as_arrays([candidate])[0]


def as_arrays(candidates: Sequence[Candidate]) -> list[NDArray[np.float32]]:
    """The prompts of each candidate as x, y, label, (N, 3); read from the device at once."""
    if not candidates:
        return []
    rows = torch.cat([torch.cat((c.points, c.labels[:, None].float()), dim=1) for c in candidates]).cpu()
    parts = torch.split(rows, [len(c.points) for c in candidates])
    return [np.asarray(part, dtype=np.float32) for part in parts]


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
    refined: Field | None = None,
) -> SliceCandidate:
    """Pixel by pixel what the path's own costs favour: likelihood, decoder and prior added up, slightly smoothed.

    ``belief`` in [0, 1] weighs the first two against the prior; the ``refined`` one (mm, positive inside) takes its
    share of the prior's place.
    """
    p = parameters
    prior = np.clip(prior_field(guide, pixel) / error_mm, -2.0, 2.0) * 0.5
    if refined is not None:
        prior += p.refiner_share * (np.clip(refined / error_mm, -2.0, 2.0) * 0.5 - prior)
    field = (
        belief * p.appearance_weight * np.clip(ratio, -p.log_ratio_clip, p.log_ratio_clip)
        + belief * p.decoder_weight * decoder
        + p.prior_weight * prior
    )
    return SliceCandidate("fused", np.asarray(ndimage.gaussian_filter(field, 1.0), dtype=np.float32))


@dataclass(frozen=True, eq=False)
class Request:
    """One slice to be prompted: ``prior`` is the warped prior on its plane, None where alignment is not trusted.

    ``hint`` is what to prompt with where the prior's own section is empty: its nearest section, moved along z.
    ``error_mm`` is how wrong the prior may be, at least the maker's own.
    """

    index: int
    prior: NDArray[np.bool_] | None = None
    hint: NDArray[np.bool_] | None = None
    error_mm: float = 0.0

    @property
    def guide(self) -> NDArray[np.bool_] | None:
        """The section to prompt with, None where there is none."""
        for section in (self.prior, self.hint):
            if section is not None and section.any():
                return section
        return None


class CandidateMaker:
    """Makes the candidates of one structure; holds what all slices share.

    ``reference`` is the structure's tokens on the baseline (and further references); ``error_mm`` the registration's.
    """

    def __init__(
        self, backbone: Backbone, reference: Reference, parameters: PropagationParameters, error_mm: float
    ) -> None:
        self.backbone, self.reference, self.parameters = backbone, reference, parameters
        self.error_mm = max(error_mm, parameters.path.minimum_error)
        self._foreground = reference.foreground.cpu()  # fetched once for all slices

    @torch.inference_mode()
    def make(self, encoded: Encoded, requests: Sequence[Request]) -> list[SliceCandidates]:
        """Candidates of each request; slices share decoder calls where the backbone can."""
        softs: list[torch.Tensor | None] = []
        focuses: list[torch.Tensor | None] = []
        for request in requests:
            if request.guide is None:
                softs.append(None)
                focuses.append(None)
                continue
            error = max(request.error_mm, self.error_mm)
            softs.append(torch.from_numpy(soft_prior(request.guide, 1.0)))
            focus = torch.from_numpy(soft_prior(request.guide, 1.5 * error / encoded.region.pixel)).clamp(0, 1)
            focuses.append(focus / focus.max().clamp_min(1e-6))
        refined = self._refined([encoded.embeddings[r.index] for r in requests], softs)
        prompted = p2sam.candidates_for_slices(
            [self.reference] * len(requests),
            [encoded.embeddings[r.index] for r in requests],
            self.backbone,
            self.parameters.prompting,
            focuses,
            batch=self.parameters.decode_batch,
        )
        return [
            self._gather(encoded, request, mine, found)
            for request, mine, found in zip(requests, refined, prompted, strict=True)
        ]

    def _gather(
        self, encoded: Encoded, request: Request, refined: list[SliceCandidate], prompted: list[Candidate]
    ) -> SliceCandidates:
        """All candidates of one slice in their order, the empty one first."""
        embedding, shape = encoded.embeddings[request.index], encoded.grey.shape[1:]
        found = [SliceCandidate("empty", np.full(shape, -1.0, np.float32))]
        if request.prior is not None and request.prior.any():
            found.append(SliceCandidate("prior", prior_field(request.prior, encoded.region.pixel)))
        answers = list(refined)
        given = as_arrays(prompted)
        side = self.backbone.input_size
        fields = _fields([logits_to_image(c.logits[None, None], embedding, side)[0, 0] for c in prompted])
        for candidate, field, rows in zip(prompted, fields, given, strict=True):
            presence = float("nan") if candidate.presence is None else candidate.presence
            kind = f"p2sam n={candidate.n} m={candidate.m}"
            answers.append(SliceCandidate(kind, field, candidate.distance, presence, rows))
        clip = self.parameters.path.log_ratio_clip
        decoder = np.zeros(shape, np.float32)
        if answers:
            decoder = np.mean([np.clip(a.field, -clip, clip) for a in answers], axis=0).astype(np.float32)
        points = np.zeros((0, 3), np.float32)
        if prompted:
            points = given[prompted.index(p2sam.choose(prompted, self.parameters.prompting))]
        outside = ~encoded.region.inside
        kept = tuple(replace(c, field=np.where(outside, np.float32(-1000.0), c.field)) for c in (*found, *answers))
        return SliceCandidates(kept, decoder, request.guide, points)

    def nothing(self, encoded: Encoded) -> SliceCandidates:
        """Only the empty section: a slice too far from the prior to be searched."""
        shape = encoded.grey.shape[1:]
        empty = SliceCandidate("empty", np.full(shape, -1.0, np.float32))
        return SliceCandidates((empty,), np.zeros(shape, np.float32), None, np.zeros((0, 3), np.float32))

    def _refined(
        self, embeddings: Sequence[Embedding], softs: Sequence[torch.Tensor | None]
    ) -> list[list[SliceCandidate]]:
        """The model's answers to each prior as mask prompt, alone and then with its own answer's box."""
        found: list[list[SliceCandidate]] = [[] for _ in softs]
        given = [n for n, soft in enumerate(softs) if soft is not None]
        prompts: dict[int, Prompts] = {}
        for n in given:
            soft = softs[n]
            assert soft is not None
            mask = mask_to_prompt(soft[None, None], self.backbone.mask_size, stretched=embeddings[n].stretched)
            prompts[n] = Prompts(masks=mask.to(embeddings[n].tokens.device))
        for number in (1, 2):
            following: dict[int, Prompts] = {}
            answers = self._decode(embeddings, prompts)
            side = self.backbone.input_size
            fields = _fields([logits_to_image(logits, embeddings[n], side)[0, 0] for n, (logits, _) in answers.items()])
            for (n, (logits, presence)), field in zip(answers.items(), fields, strict=True):
                found[n].append(SliceCandidate(f"refined {number}", field, presence=presence))
                rows, columns = np.nonzero(field > 0)
                if len(rows):
                    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                    following[n] = Prompts(boxes=torch.tensor([edges], dtype=torch.float32), masks=logits)
            prompts = following
        return found

    def _decode(
        self, embeddings: Sequence[Embedding], prompts: dict[int, Prompts]
    ) -> dict[int, tuple[torch.Tensor, float]]:
        """Logits (1, 1, m, m) and presence of one prompt per image; in few calls where the backbone decodes pairs."""
        order = list(prompts)
        answers: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        batch = self.parameters.decode_batch if decodes_pairs(self.backbone) else 1
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            boxes = [b for n in chosen if (b := prompts[n].boxes) is not None]
            masks = [m for n in chosen if (m := prompts[n].masks) is not None]
            joined = Prompts(boxes=torch.cat(boxes) if boxes else None, masks=torch.cat(masks))
            decoded = self.backbone.decode(join_embeddings([embeddings[n] for n in chosen]), joined)
            for place in range(len(chosen)):
                presence = None if decoded.presence is None else decoded.presence[place]
                answers.append((decoded.logits[place : place + 1, :1], presence))
        known = [p for _, p in answers if p is not None]
        read = iter(torch.stack(known).tolist() if known else [])
        return {
            n: (logits, float("nan") if presence is None else next(read))
            for n, (logits, presence) in zip(order, answers, strict=True)
        }

    def distances(self, encoded: Encoded, index: int, masks: NDArray[np.bool_]) -> list[float]:
        """Retrieval distance of each mask (N, P, P) on slice ``index`` to the reference."""
        embedding = encoded.embeddings[index]
        inside = covered_tokens(torch.from_numpy(masks), embedding, self.backbone.input_size, self.parameters.prompting)
        return [
            distance(self._foreground, tokens, self.parameters.prompting) for tokens in tokens_under(inside, embedding)
        ]


def _fields(images: Sequence[torch.Tensor]) -> list[Field]:
    """Images (P, P) of the device as arrays, in one copy."""
    return list(torch.stack(list(images)).float().cpu().numpy()) if images else []
