"""Same bars, same costs, several strategies: experiments, backtests and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import compare
    from .engine import run
    from .experiment import Experiment

__all__ = ["Experiment", "compare", "run"]

# Imported on first use: the command line starts here, and `nextbar --help` must be instant.
_HOMES = {"Experiment": "experiment", "compare": "comparison", "run": "engine"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
