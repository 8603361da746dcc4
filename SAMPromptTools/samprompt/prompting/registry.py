"""The prompting methods by name; a new method is one file and one line here."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import P2SamParameters
from samprompt.models.backbone import Backbone, Embedding
from samprompt.prompting import direct, p2sam, persam
from samprompt.prompting.candidate import Candidate
from samprompt.prompting.reference import Reference
from samprompt.prompting.similarity import Box


class PromptingMethod(Protocol):
    """Find the reference's structure in one encoded image."""

    def __call__(
        self,
        reference: Reference,
        embedding: Embedding,
        backbone: Backbone,
        parameters: P2SamParameters = ...,
        prior: Tensor | None = None,
        box: Box | None = None,
    ) -> Candidate: ...


METHODS: dict[str, PromptingMethod] = {
    "p2sam": p2sam.segment,
    "persam": persam.segment,
    "direct": direct.segment,
}


def prompting_method(name: str) -> PromptingMethod:
    """The method of that name.

    Raises:
        ParameterError: there is none.
    """
    if name not in METHODS:
        raise ParameterError(f"There is no prompting method {name!r}.", f"Choose one of {', '.join(METHODS)}.")
    return METHODS[name]
