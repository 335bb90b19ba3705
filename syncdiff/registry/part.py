"""An entry of a registry: the place of a class or function, whose module is imported when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Part:
    """Where a part is made.

    place: `module:name` of a class or function.
    on_gpu: it computes on a GPU where there is one, so that its jobs ask for one.
    """

    place: str
    on_gpu: bool = False

    def load(self) -> Any:
        """Import what makes the part."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)
