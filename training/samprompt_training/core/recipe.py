"""Recipes: YAML files checked key by key, and what differs between two of them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from samprompt.contract.errors import MissingFileError, ParameterError, UnreadableFileError

Decay = Annotated[float, Field(ge=0, lt=1)]


class LoopRecipe(BaseModel):
    """What decides a run of the loop. A step is one global batch: ``batch`` x ``accumulate`` x processes samples.

    The default of a key that a later version adds is what was done before it: runs begun without the key go on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seed: int = Field(description="of everything random", ge=0)
    steps: int = Field(description="length of the schedule", ge=1)
    batch: int = Field(description="samples per process and forward pass", ge=1)
    accumulate: int = Field(1, description="forward passes whose gradients make one update", ge=1)
    learning_rate: float = Field(description="of AdamW, at the end of the warm-up", gt=0)
    warmup_share: float = Field(0.1, description="share of the steps in which the rate rises from zero", ge=0, le=1)
    final_rate_share: float = Field(0.0, description="share of the rate left at the end of the cosine", ge=0, le=1)
    weight_decay: float = Field(description="of AdamW, for groups that name none", ge=0)
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="decay of AdamW's two moments")
    clip: float = Field(1.0, description="largest norm of the gradient", gt=0)
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="of the forward pass")
    ema: Decay = Field(0.0, description="decay per step of the averaged weights; 0: none are kept")
    log_every: int = Field(50, description="steps between two lines of the log", ge=1)
    validate_every: int = Field(description="steps between two validations", ge=1)
    checkpoint_every: int = Field(description="steps between two checkpoints", ge=1)
    patience: int = Field(0, description="validations without gain after which to stop; 0: never", ge=0)
    threads: int = Field(0, description="CPU threads; 0: as torch chooses", ge=0)
    workers: int = Field(1, description="processes that load data", ge=0)


Recipe = TypeVar("Recipe", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of version 1.2, where 1e-4 is one: PyYAML takes it for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("samprompt_training").joinpath("recipes")
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path, cls: type[Recipe]) -> Recipe:
    """The recipe in a file, or the shipped one of that name, checked against ``cls``.

    Raises:
        MissingFileError: neither a file nor the name of a shipped recipe.
        UnreadableFileError: not YAML, or not UTF-8.
        ParameterError: a key is unknown, missing, given twice or has a value of the wrong type; file, line and key are
            named.
    """
    source, text = _read(name_or_path)
    try:
        node = yaml.compose(text, _Loader)
        lines = dict(_lines(node, source))
        content = yaml.load(text, _Loader)  # derives from SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "context_mark", None) or getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error)
        raise UnreadableFileError(f"{where}: not YAML: {problem}.", "Compare it with a shipped recipe.") from error
    if not isinstance(content, dict):
        raise ParameterError(f"{source}: a recipe is a list of lines `key: value`.", "Compare it with a shipped one.")
    try:
        # by way of JSON, so that types are checked strictly but lists may stand for tuples
        return cls.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        messages, hints = zip(*(_explained(found, source, lines, cls) for found in error.errors()), strict=True)
        raise ParameterError(" ".join(messages), " ".join(dict.fromkeys(hint for hint in hints if hint))) from None


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two recipes as dictionaries: one line "key: was OLD, is NEW" each, in order of the keys."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        was, now = (json.dumps(r[key]) if key in r else "absent" for r in (old, new))
        if was != now:
            lines.append(f"{key}: was {was}, is {now}")
    return lines


def _read(name_or_path: str | Path) -> tuple[str, str]:
    """What to call the recipe in messages, and its text."""
    path = Path(name_or_path)
    name = str(name_or_path).removesuffix(".yaml")
    try:
        if path.is_file():
            return str(path), path.read_text("utf-8")
        if name in shipped_recipes():
            file = resources.files("samprompt_training").joinpath("recipes", f"{name}.yaml")
            return f"{name}.yaml", file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{path} cannot be read: {error}.", "Save it as UTF-8 text.") from error
    raise MissingFileError(
        f"There is no recipe {name_or_path}.", f"Give a file, or one of: {', '.join(shipped_recipes())}."
    )


def _lines(node: yaml.Node | None, source: str, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """Line of every key, from 1, by the way to it."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in seen:
            raise ParameterError(f'{source}, line {line}: "{name}" is given twice.', "Remove one of the two.")
        seen.add(name)
        yield (*path, name), line
        yield from _lines(value, source, (*path, name))


def _explained(found: Any, source: str, lines: dict[tuple[str, ...], int], cls: type[BaseModel]) -> tuple[str, str]:
    """Message and hint for one thing that pydantic found."""
    path = tuple(str(part) for part in found["loc"])
    said = found["msg"].removeprefix("Value error, ")
    if not path:
        return f"{source}: {said}", ""
    key, known = ".".join(path), _fields(cls, path[:-1])
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    where = source if line is None else f"{source}, line {line}"
    if found["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], known, 1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Known keys: {', '.join(known)}."
        return f'{where}: "{key}" is not a key of this recipe.', hint
    field = known.get(path[-1]) or cls.model_fields.get(path[0])
    meaning = f"{path[0]}: {field.description}." if field is not None and field.description else ""
    if found["type"] == "missing" and isinstance(found["loc"][-1], int):
        return f'{where}: "{".".join(path[:-1])}" has too few values.', meaning
    if found["type"] == "missing":
        return f'{where}: the key "{key}" is missing.', meaning
    given = repr(found["input"])
    short = given if len(given) <= 60 else f"{given[:57]}..."
    return f'{where}: "{key}" has the value {short}: {said[0].lower()}{said[1:]}.', meaning


def _fields(cls: type[BaseModel], path: tuple[str, ...]) -> dict[str, FieldInfo]:
    """The keys known at the place ``path`` of a recipe that may hold other recipes."""
    for part in path:
        field = cls.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return {}
        cls = inner
    return dict(cls.model_fields)
