"""Offline training, the extra ``[train]``: bars to labels to network to model file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .certify import Facts, export
    from .config import TrainingConfig
    from .fit import train
    from .walkforward import walk_forward

__all__ = ["Facts", "TrainingConfig", "export", "train", "walk_forward"]

_HOMES = {
    "Facts": "certify",
    "TrainingConfig": "config",
    "export": "certify",
    "train": "fit",
    "walk_forward": "walkforward",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a plain backtest needs `config` only."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
