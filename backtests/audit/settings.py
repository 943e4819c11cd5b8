"""The settings that a target is given: each must be one that it has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from ...signals.errors import ExperimentError, did_you_mean

__all__ = ["check_settings"]


def check_settings(thing: Any, params: Mapping[str, Any], name: str) -> None:
    """Check the names of settings for a backtrader class or a function, and texts for numbers.

    Whatever takes any keyword is left to judge by itself.

    Raises
    ------
    ExperimentError
        For a setting that `thing` does not have, or a text where its default is a number.
    """
    known, more = _known(thing)
    for key, value in params.items():
        if key not in known and not more:
            raise ExperimentError(f"{name} has no setting {key!r}.{_hint(key, known)}")
        default = known.get(key)
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if number and isinstance(value, str):
            raise ExperimentError(
                f"{name}: {key}: expected a number such as {default}, found {value!r}."
            )


def _hint(key: str, known: Mapping[str, Any]) -> str:
    return did_you_mean(key, known) if known else " It has none: leave it out."


def _known(thing: Any) -> tuple[dict[str, Any], bool]:
    """Return the settings with their defaults, and whether any other name is taken as well."""
    made = thing.func if isinstance(thing, partial) else thing
    known: dict[str, Any] = {}
    call = made
    if isinstance(made, type):
        declared: Any = getattr(made, "params", None)
        known |= dict(declared._getitems()) if hasattr(declared, "_getitems") else {}
        call = made.__init__
        # backtrader's own take every keyword and drop those that they do not know.
        if str(getattr(call, "__module__", "backtrader")).startswith("backtrader"):
            return known, False
    try:
        arguments = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):  # written in C
        return known, True
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # The first argument is the object, or the bars.
    own = [one for one in list(arguments)[1:] if one.kind in named]
    known |= {one.name: one.default for one in own}
    return known, any(one.kind is inspect.Parameter.VAR_KEYWORD for one in arguments)
