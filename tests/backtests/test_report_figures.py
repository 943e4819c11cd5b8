import dataclasses

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.common import STRATEGIES
from nextbar.backtests.report import render

from .pages import comparison, figure, one_symbol


@pytest.fixture(scope="module")
def given():
    return comparison()


@pytest.fixture(scope="module")
def page(given):
    return render(*given)


def test_the_equity_figure_draws_the_results(given, page):
    traces, _ = figure(page, "equity-1")
    assert [t["name"] for t in traces[::2]] == list(STRATEGIES.values())
    for (name, result), equity, drawdown in zip(
        given[1]["TEST"].items(), traces[::2], traces[1::2], strict=True
    ):
        values = result.equity.to_numpy()
        assert equity["y"][0] == 1, name
        np.testing.assert_allclose(equity["y"], values / values[0], rtol=1e-5)
        expected = values / np.maximum.accumulate(values) - 1
        np.testing.assert_allclose(drawdown["y"], expected, rtol=1e-5, atol=1e-12)
        assert equity["x"] == [str(date.date()) for date in result.equity.index]


def test_the_pooled_figure_ends_at_the_pooled_return(given, page):
    traces, _ = figure(page, "equity-all")
    for name, trace in zip(STRATEGIES, traces[::2], strict=True):
        expected = 1 + given[0]["equal_weight"][name]["total_return"]
        assert trace["y"][-1] == pytest.approx(expected, rel=1e-5)


def test_a_strategy_has_one_colour_and_the_lstm_the_broadest_line(page):
    colours = {}
    for div_id in "equity-all", "equity-0", "equity-1":
        traces, _ = figure(page, div_id)
        for trace in traces:
            colours.setdefault(trace["name"], set()).add(trace["line"]["color"])
        width = {trace["name"]: trace["line"]["width"] for trace in traces}
        assert max(width, key=width.get) == "LSTM"
    assert [len(found) for found in colours.values()] == [1, 1, 1, 1]
    assert len(set.union(*colours.values())) == 4
    for (colour,) in colours.values():
        assert f'style="background:{colour}"' in page


def test_the_calls_are_marked_where_they_turn(given):
    content, results = one_symbol(given)
    lstm = results["TEST"]["lstm"]
    direction, position = lstm.direction * 0, lstm.position * 0
    direction.iloc[[0, 1, 5, 6]], direction.iloc[[3, 9]] = 1, -1
    position.iloc[[1, 2, 6, 7]], position.iloc[[4, 10]] = 10, -10
    results["TEST"]["lstm"] = dataclasses.replace(lstm, direction=direction, position=position)
    traces, layout = figure(render(content, results), "calls-0")
    trace = {t["name"]: t for t in traces}
    dates = [str(date.date()) for date in direction.index]
    assert trace["Turns up"]["x"] == [dates[i] for i in (0, 4, 5, 10)]
    assert trace["Turns up"]["text"] == ["long", "flat", "long", "flat"]
    assert trace["Turns down"]["x"] == [dates[i] for i in (2, 3, 7, 9)]
    assert trace["Turns down"]["text"] == ["flat", "short", "flat", "short"]
    assert trace["Turns up"]["y"][1] == pytest.approx(lstm.close.iloc[4], rel=1e-5)
    assert np.flatnonzero(trace["Holds long"]["y"]).tolist() == [1, 2, 6, 7]
    assert np.flatnonzero(trace["Holds short"]["y"]).tolist() == [4, 10]
    assert layout["yaxis2"]["ticktext"] == ["short", "flat", "long"]


def test_an_lstm_that_never_calls_is_drawn_too(given):
    content, results = one_symbol(given)
    lstm = results["TEST"]["lstm"]
    results["TEST"]["lstm"] = dataclasses.replace(
        lstm, direction=lstm.direction * 0, position=lstm.position * 0
    )
    traces, _ = figure(render(content, results), "calls-0")
    assert [t["name"] for t in traces] == ["Close"]


def test_times_are_drawn_for_bars_within_the_day(given):
    content, results = one_symbol(given)
    result = results["TEST"]["lstm"]
    index = pd.date_range("2002-01-01 09:30", periods=len(result.equity), freq="5min")
    series = ("equity", "returns", "position", "direction", "close")
    moved = {name: getattr(result, name).set_axis(index) for name in series}
    results["TEST"] = dict.fromkeys(STRATEGIES, dataclasses.replace(result, **moved))
    traces, _ = figure(render(content, results), "equity-0")
    assert traces[0]["x"][:2] == ["2002-01-01 09:30:00", "2002-01-01 09:35:00"]
