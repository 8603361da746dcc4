"""What a folder of an adaptation says of itself, compared before anything of it is written anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samprompt.contract.errors import ParameterError, UnreadableFileError
from samprompt.io.atomic import replacing
from samprompt.models.registry import Weights

from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.core.checkpoint import check_same_run
from samprompt_training.core.recipe import differences
from samprompt_training.data.cache import VERSION
from samprompt_training.data.manifest import write_manifest


class Account:
    """``adaptation.json``, ``manifest.json`` and ``before.json`` in the folder of a run.

    The first holds the base (name, SHA-256), the recipe and the digest of the data; the last the figures of the base on
    the validation slices, with a key of what they were measured on.
    """

    def __init__(self, out: Path, base: Weights, recipe: AdaptRecipe) -> None:
        self._out = out
        self._begun = out / "adaptation.json"
        self._figures = out / "before.json"
        self._base = {"base": base.name, "sha256": base.sha256}
        self._recipe = recipe.model_dump(mode="json")

    def refuse_another(self, manifest: Mapping[str, Any] | None = None) -> None:
        """Refuse to go on with another base, another recipe or, where the ``manifest`` is known, other data.

        The recipe may change as long as there is no checkpoint: nothing was trained.

        Raises:
            ParameterError: what differs, line by line.
            UnreadableFileError: the account is damaged.
        """
        then = self._read()
        if then is None:
            return
        now = self._base | ({} if manifest is None else {"data": str(manifest["digest"])})
        changed = differences({key: then[key] for key in now if key in then}, now)
        if changed:
            raise ParameterError(
                f"{self._out} holds an adaptation of another model or to other data: {'; '.join(changed)}.",
                "Use another output folder, or the model and the data that it was begun with.",
            )
        if "recipe" in then and self._trained:
            check_same_run(self._out, then["recipe"], self._recipe)

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Write the account and the manifest.

        An earlier version kept no recipe here: while the loop has not compared it with its checkpoint's, none is added.

        Raises:
            OutputError: they cannot be written.
        """
        then = self._read()
        recipe = {} if self._trained and then is not None and "recipe" not in then else {"recipe": self._recipe}
        write_manifest(self._out / "manifest.json", manifest)
        _write(self._begun, self._base | {"data": str(manifest["digest"])} | recipe)

    def figures(self, manifest: Mapping[str, Any]) -> dict[str, float] | None:
        """The figures of the base as they were measured; None where that was on other slices, or never."""
        try:
            found = json.loads(self._figures.read_text(encoding="utf-8"))
            return dict(found["figures"]) if found["of"] == self._key(manifest) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_figures(self, manifest: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """Keep the figures of the base.

        Raises:
            OutputError: they cannot be written.
        """
        _write(self._figures, {"of": self._key(manifest), "figures": dict(figures)})

    def _key(self, manifest: Mapping[str, Any]) -> str:
        """SHA-256 of all that the figures depend on: base, data, how slices are chosen and cut."""
        text = json.dumps([self._base, manifest["digest"], self._recipe["data"], VERSION], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def _trained(self) -> bool:
        return (self._out / "checkpoint.pt").is_file()

    def _read(self) -> dict[str, Any] | None:
        if not self._begun.is_file():
            return None
        try:
            return dict(json.loads(self._begun.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UnreadableFileError(
                f"{self._begun} is damaged ({error}).", "Put a copy of it back, or use another output folder."
            ) from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
