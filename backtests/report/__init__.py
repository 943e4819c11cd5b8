"""The report of a comparison: HTML pages that open anywhere, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..forecasting import Forecasts
    from ..result import Result

__all__ = ["render", "render_faithful"]


def render(
    content: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Result]],
    forecasts: Mapping[str, Forecasts] | None = None,
) -> str:
    """Return the report as one HTML page that loads nothing from anywhere.

    Parameters
    ----------
    content : mapping
        What ``results.json`` holds.
    results : mapping of symbol to mapping of strategy to Result
        On the same bars as `content`: those of `LABELS` that were run through an account, so all
        but the random calls and, with a given model, what is trained beside it.
    forecasts : mapping of symbol to Forecasts, optional
        What the figures of price forecasts are drawn from; only for symbols with a part
        ``forecasts`` in `content`.

    Equal input gives equal bytes for the same version of plotly.
    """
    from .page import render_page  # plotly and jinja2 are optional, and slow to import

    return render_page(content, results, forecasts or {})


def render_faithful(content: Mapping[str, Any], forecasts: Mapping[str, Forecasts]) -> str:
    """Return the page of a tutorial's own form, which loads nothing from anywhere.

    Parameters
    ----------
    content : mapping
        ``experiment``; the own form's ``training``, ``head`` and ``flaws`` with their meanings; by
        symbol the figures of both forms, ``bars``, ``learning`` and ``forecasts``.
    forecasts : mapping of symbol to Forecasts
        Of the own form, where it forecasts prices.

    Equal input gives equal bytes for the same version of plotly.
    """
    from .faithful import render_faithful_page

    return render_faithful_page(content, forecasts)
