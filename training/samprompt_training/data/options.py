"""Options of a layout, as a recipe gives them, checked against what the layout's function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from samprompt.contract.errors import ParameterError


def refuse_wrong_options(layout: str, opener: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse options that ``opener`` does not take by name, that are of another type, or that are missing.

    Raises:
        ParameterError: there is one; its key and what was given are named.
    """
    model = _model(opener)
    known = ", ".join(model.model_fields) or "none"
    try:
        model.model_validate(dict(given))
    except ValidationError as error:
        said = " ".join(_explained(found) for found in error.errors())
        raise ParameterError(f"Layout '{layout}': {said}", f"Options of this layout: {known}.") from None


def _model(opener: Callable[..., Any]) -> type[BaseModel]:
    """A model with a field for every option, so that the function alone says what there is."""
    types = get_type_hints(opener)
    fields: dict[str, Any] = {
        name: (types[name], ... if option.default is inspect.Parameter.empty else option.default)
        for name, option in inspect.signature(opener).parameters.items()
        if option.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return create_model("Options", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _explained(found: Any) -> str:
    # a union of types adds the name of each to the place of the error: the key and its first part are enough
    key = ".".join(str(part) for part in found["loc"][:2])
    if found["type"] == "extra_forbidden":
        return f"'{key}' is no option."
    if found["type"] == "missing":
        return f"the option '{key}' is missing."
    said = found["msg"][0].lower() + found["msg"][1:]
    return f"the option '{key}' has the value {found['input']!r}: {said}."
