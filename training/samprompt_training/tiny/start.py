"""Going on from a trained model: its weights, widened where the new one sees more."""

from __future__ import annotations

from pathlib import Path

import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.tiny import TinyModel, load_tiny

_DRAWN = "decoder.dense2.0.weight"  # reads the drawn prompts; a channel more where boxes are drawn as ellipses too


def start_from(model: TinyModel, path: Path) -> str:
    """Put the weights at ``path`` into ``model``; the fingerprint of the file.

    A channel of drawn prompts that the old model did not have starts at zero: the first answers are the old ones.

    Raises:
        ParameterError: the file's model has other widths or blocks than the recipe's.
        WeightsError, WeightsMissingError: as ``load_tiny``.
    """
    old = load_tiny(path)
    state = old.model.state_dict()
    own = model.state_dict()
    more = own[_DRAWN].shape[1] - state[_DRAWN].shape[1]
    if more > 0:
        zeros = torch.zeros_like(state[_DRAWN])[:, :more]
        state[_DRAWN] = torch.cat((state[_DRAWN], zeros), dim=1)
    other = sorted(name for name in own.keys() | state.keys() if _shape(own, name) != _shape(state, name))
    if other:
        raise ParameterError(
            f"{path} holds a model of other sizes than the recipe's ({other[0]}: {_shape(state, other[0])} instead of "
            f"{_shape(own, other[0])}).",
            "Start from weights of the recipe's widths, blocks and skips, or from nothing.",
        )
    model.load_state_dict(state)
    return old.fingerprint


def _shape(state: dict[str, torch.Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
