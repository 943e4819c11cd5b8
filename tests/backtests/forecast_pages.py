"""A comparison with made-up price forecasts, for the tests of their part of the report."""

from dataclasses import asdict, replace

import numpy as np
from nextbar.backtests.evidence.forecasts import forecast_quality, forecast_sentence
from nextbar.backtests.forecasting import Forecasts, Snapshot
from nextbar.backtests.report import render

from ..markets import random_bars
from .pages import comparison, copied

LINE = (("open", 1), ("open", 2))
ROLLOUT = tuple(("close", ahead) for ahead in range(1, 9))
FIELDS = (("open", 1), ("high", 1))
"""Columns: two steps, many steps, two fields."""

LABELS = {"lstm": "LSTM", "average": "Mean of 100"}


def pictures(columns=(("open", 1),), bars=160, seed=1, dates=None):
    """Return a walk with late forecasts of it: a little nearer to the past than to what comes."""
    rng = np.random.default_rng(seed)
    fields = list(dict.fromkeys(field for field, _ in columns))
    reach = max(ahead for _, ahead in columns)
    walks = 100 * np.exp(0.01 * rng.standard_normal((len(fields), bars + reach)).cumsum(axis=1))
    today = np.stack([walks[fields.index(field), :bars] for field, _ in columns], axis=1)
    actual = np.full((bars, len(columns)), np.nan)
    for j, (field, ahead) in enumerate(columns):
        actual[: bars - ahead, j] = walks[fields.index(field), ahead:bars]
    forecast = today * (1 + 0.004 * rng.standard_normal((bars, len(columns))))
    index = random_bars(bars, 0).index if dates is None else dates
    snapshots = tuple(
        Snapshot(epoch, index[:50], walks[0, :50] + 5.0 / epoch) for epoch in (1, 2, 5, 9)
    )
    start = today[:, 0] if len(fields) == 1 else today
    return Forecasts(index, tuple(columns), forecast, actual, start, snapshots, walks[0, :50])


def facts(shown, labels=LABELS):
    """Return the part of ``results.json`` that goes with `shown`."""
    ahead = [bars for _, bars in shown.columns]
    training = np.linspace(90.0, 110.0, 200)
    average = np.full_like(shown.forecast, np.nanmean(shown.actual))
    quality = {
        "lstm": forecast_quality(
            shown.forecast, shown.actual, shown.today, ahead, training_prices=training
        ),
        "average": forecast_quality(
            average, shown.actual, shown.today, ahead, training_prices=training
        ),
    }
    return {
        "columns": [list(column) for column in shown.columns],
        "target": "open",
        "move_note": "The move that is traded is from the next open on.",
        "labels": dict(labels),
        "quality": {name: asdict(found) for name, found in quality.items()},
        "sentences": {name: forecast_sentence(found) for name, found in quality.items()},
    }


def with_forecasts(shown, symbol="TEST", given=None):
    """Return what `render` is given when one symbol has forecasts."""
    content, results = given or comparison()
    content = copied(content)
    content["symbols"][symbol]["forecasts"] = copied(facts(shown))
    return content, results, {symbol: shown}


def shown(made=LINE, **change):
    """Return the forecasts of the columns `made`, with other fields than usual."""
    return replace(pictures(made), **change)


def page_of(forecasts):
    """Return the page on which one symbol has `forecasts`."""
    return render(*with_forecasts(forecasts))


def section(page):
    """Return the part of the page about the forecasts."""
    start = page.index('id="forecasts-1"')
    return page[start : page.index("<h3>Rules that", start)]
