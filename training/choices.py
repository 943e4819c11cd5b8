"""Names that a config may choose: known without keras, what they stand for only when used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..signals.errors import did_you_mean

__all__ = ["SCALINGS", "known_name"]


def known_name(name: str, known: Iterable[str]) -> str:
    """Return `name`, or raise ValueError with the nearest of the `known` names, else all."""
    if name not in (names := list(known)):
        raise ValueError(f"unknown {name!r}.{did_you_mean(name, names).rstrip('.')}")
    return name


def _layers():  # the module itself: the type checker sees its names
    from . import scalings

    return scalings


SCALINGS: dict[str, Callable[[], Any]] = {
    "standard": lambda: _layers().StandardScaling(),
    "minmax": lambda: _layers().MinMaxScaling(),
    "robust": lambda: _layers().RobustScaling(),
    "rank": lambda: _layers().RankScaling(),
    "window": lambda: _layers().WindowScaling(),
}
"""By the name in a config what makes the layer, which has `adapt`. A layer class may stand here."""
