"""Heads: what a model file says, and at which number up and down are balanced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["CENTRES", "OUTPUTS", "Head"]

Head = Literal["direction", "forecast", "position"]

OUTPUTS: Mapping[Head, tuple[str, *tuple[str, ...]]] = {
    "direction": ("probability",),
    "forecast": ("forecast", "move"),
    "position": ("position",),
}
"""By head the outputs of the graph, the number behind the call last: the probability of an up move;
prices, (batch, k), and the relative move that they foretell; a share of the account, -1 to 1."""

CENTRES: Mapping[Head, float] = {"direction": 0.5, "forecast": 0.0, "position": 0.0}
"""By head the number at which up and down are balanced."""
