"""The annotated image a target is compared with: its foreground and background tokens, and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from samprompt.contract.errors import ParameterError, StructureError
from samprompt.contract.prompting import PUBLISHED_MEDICAL, P2SamParameters
from samprompt.models.backbone import Embedding
from samprompt.prompting.parts import part_features
from samprompt.prompting.reduction import covered_tokens, valid_tokens

_Piece = tuple[Tensor, Tensor, Tensor]  # matching tokens (D, h, w), foreground (h, w), background (h, w)


@dataclass(frozen=True, eq=False)
class Reference:
    """Tokens of one structure on one reference image (or several joined); build it once, use it for every target.

    ``foreground`` (F, D) and ``background`` (G, D) are un-normalised float32 matching tokens in raster order, padding
    excluded. Parts are computed on first use and kept. The tokens are views of the embedding, so several structures of
    one image cost no further memory. F is 0 when the published reduction rule loses a small mask (see ``lost``).
    """

    pieces: tuple[_Piece, ...]
    _kept: dict[tuple[object, ...], Tensor | None] = field(default_factory=dict, repr=False)

    @classmethod
    def from_mask(
        cls, mask: Tensor, embedding: Embedding, input_size: int, parameters: P2SamParameters = PUBLISHED_MEDICAL
    ) -> Reference:
        """Take the tokens of the structure ``mask`` (H, W), bool, on one encoded image.

        ``embedding`` has length 1 and ``input_size`` is the backbone's. Reduction rule: see ``covered_tokens``.

        Raises:
            StructureError: the mask is empty.
            ParameterError: the mask has another size than the image, or the embedding holds several images.
        """
        if len(embedding) != 1:
            raise ParameterError(f"A reference is one image, the embedding holds {len(embedding)}.", "Index it first.")
        if tuple(mask.shape) != tuple(embedding.image_shape):
            raise ParameterError(
                f"The reference mask has {tuple(mask.shape)} pixels, its image {embedding.image_shape}.",
                "Give the mask on the image's own pixels.",
            )
        drawn = mask > 0
        if not bool(drawn.any()):
            raise StructureError(
                "The reference mask is empty: there is nothing to look for.",
                "Choose a reference slice that holds the structure.",
            )
        inside = covered_tokens(drawn.to(embedding.matching.device), embedding, input_size, parameters)
        return cls(((embedding.matching[0], inside, valid_tokens(embedding) & ~inside),))

    @classmethod
    def join(cls, references: Sequence[Reference]) -> Reference:
        """One reference from several of the same structure (further slices, or later visits that were corrected)."""
        return cls(tuple(piece for reference in references for piece in reference.pieces))

    @property
    def foreground(self) -> Tensor:
        """Un-normalised tokens (F, D) of the structure."""
        kept = self._kept.get(("foreground",))
        if kept is None:
            kept = self._kept[("foreground",)] = _tokens([(part, inside) for part, inside, _ in self.pieces])
        return kept

    @property
    def background(self) -> Tensor:
        """Un-normalised tokens (G, D) of everything else in the image."""
        return _tokens([(part, outside) for part, _, outside in self.pieces])

    @property
    def lost(self) -> bool:
        """True when no token belongs to the mask: the published rule, and a mask smaller than a token."""
        return not bool(self.foreground.shape[0])

    def parts(self, n: int, parameters: P2SamParameters) -> Tensor | None:
        """L2-normalised features (n, D) of n parts of the foreground; None when it has fewer than n tokens."""
        return self._parts("foreground parts", n, parameters)

    def background_parts(self, m: int, parameters: P2SamParameters) -> Tensor | None:
        """L2-normalised features (m, D) of m parts of the background; None when it has fewer than m tokens."""
        return self._parts("background parts", m, parameters)

    def _parts(self, which: str, count: int, parameters: P2SamParameters) -> Tensor | None:
        key = (which, count, parameters.random_state, parameters.cluster_tokens)
        if key not in self._kept:
            tokens = self.foreground if which == "foreground parts" else self.background
            self._kept[key] = part_features(tokens, count, parameters.random_state, parameters.cluster_tokens)
        return self._kept[key]


def _tokens(pieces: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Tokens (T, D), float32, of all matching features (D, h, w), each where its own mask (h, w) is set.

    A mask as an index would make the processor wait for the device at every piece: it must know how many there are.
    """
    masks = [inside.flatten() for _, inside in pieces]
    here = torch.split(torch.cat(masks).cpu(), [len(mask) for mask in masks])
    chosen = [torch.nonzero(mask).flatten() for mask in here]
    there = torch.split(torch.cat(chosen).to(masks[0].device), [len(index) for index in chosen])
    found = [part.flatten(1).T[index] for (part, _), index in zip(pieces, there, strict=True)]
    return torch.cat([tokens.to(torch.float32) for tokens in found])
