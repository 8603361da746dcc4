"""What was measured so far: a line of JSON per piece, written as soon as it is there, so that a later call goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gpu_measure import OUT_OF_MEMORY, Figures
from samprompt.contract.errors import ParameterError


class Record:
    """The pieces at ``path``; all of them are of one ``identity`` (machine, device, precision, sizes)."""

    def __init__(self, path: Path, identity: dict[str, Any], anew: bool = False) -> None:
        """Read what is there.

        Raises:
            ParameterError: it is of another machine or of other settings.
        """
        self.path, self.identity = path, identity
        self._found: dict[str, dict[str, Figures]] = {}
        if anew:
            path.unlink(missing_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
            except ValueError:  # a line that was being written when the process was killed
                continue
            self._check(entry["identity"])
            if entry["figures"].get("problem", OUT_OF_MEMORY) != OUT_OF_MEMORY:
                continue  # a package was missing; it may be there now
            self._found.setdefault(entry["part"], {})[entry["piece"]] = entry["figures"]

    def _check(self, then: dict[str, Any]) -> None:
        wrong = sorted(k for k in then.keys() | self.identity.keys() if then.get(k) != self.identity.get(k))
        if wrong:
            told = "; ".join(f"{k}: was {then.get(k)}, is {self.identity.get(k)}" for k in wrong)
            raise ParameterError(
                f"{self.path} holds figures that do not belong beside these ({told}).",
                "Give another page with --out, or --again to begin anew.",
            )

    def has(self, part: str, piece: str) -> bool:
        """Whether it was measured."""
        return piece in self._found.get(part, {})

    def of(self, part: str) -> dict[str, Figures]:
        """The pieces of a part, in the order in which they were measured."""
        return self._found.get(part, {})

    def add(self, part: str, piece: str, figures: Figures) -> None:
        """Keep a piece; it is on the disk when this comes back."""
        self._found.setdefault(part, {})[piece] = figures
        entry = {"part": part, "piece": piece, "identity": self.identity, "figures": figures}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.is_file() and self.path.read_bytes()[-1:] not in (b"\n", b"")
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(("\n" if torn else "") + json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
