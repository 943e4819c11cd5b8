import re

import numpy as np
import pandas as pd
import pytest

from .forecast_pages import FIELDS, LINE, ROLLOUT, facts, page_of, pictures, section, shown
from .pages import Page, figure


def dates(index):
    return [str(date.date()) for date in index]


def test_truth_and_forecast_stand_at_the_bar_that_is_forecast():
    forecasts = shown((("close", 3),))
    (truth, said, naive), layout = figure(page_of(forecasts), "forecast-truth-1-0")
    assert truth["x"] == said["x"] == naive["x"] == dates(forecasts.dates[3:])
    np.testing.assert_allclose(truth["y"], forecasts.actual[:-3, 0], rtol=1e-5)
    np.testing.assert_allclose(said["y"], forecasts.forecast[:-3, 0], rtol=1e-5)
    # The naive forecast is the truth, three bars later.
    np.testing.assert_allclose(naive["y"][3:], truth["y"][:-3], rtol=1e-5)
    assert (truth["visible"], said["visible"], naive["visible"]) == (True, True, "legendonly")
    assert naive["name"] == "Naive: 3 bars before"
    assert min(truth["line"]["width"], said["line"]["width"]) > naive["line"]["width"]
    assert layout["yaxis"]["title"]["text"] == "Close"


def test_a_button_shows_the_last_bars_closely():
    forecasts = shown()
    (truth, said, _), layout = figure(page_of(forecasts), "forecast-truth-1-0")
    every, close = layout["updatemenus"][0]["buttons"]
    assert every["args"][0] == {"xaxis.autorange": True, "yaxis.autorange": True}
    assert close["label"] == "Last 60 bars"
    assert close["args"][0]["xaxis.range"] == [truth["x"][-60], truth["x"][-1]]
    low, high = close["args"][0]["yaxis.range"]
    last = truth["y"][-60:] + said["y"][-60:]
    assert low < min(last) < max(last) < high
    assert high - low < 1.2 * (max(last) - min(last))
    few = Page(page_of(pictures(LINE, bars=55)))
    assert not any("updatemenus" in script for script in few.scripts if "plotly.js v" not in script)


def test_holes_are_left_out_of_the_lines():
    forecasts = shown()
    forecasts.forecast[[5, 6, 90]] = np.nan
    forecasts.actual[40:50] = np.nan
    page = page_of(forecasts)
    (truth, said, _), _ = figure(page, "forecast-truth-1-0")
    every = dates(forecasts.dates[1:])
    assert said["x"] == [date for i, date in enumerate(every) if i not in (5, 6, 90)]
    assert truth["x"] == every[:40] + every[50:]
    assert len(said["y"]) == len(said["x"])
    for script in Page(section(page)).scripts:
        assert not re.search(r"\b(NaN|Infinity|null)\b", script)


@pytest.mark.parametrize("bars", [1_400, 1_503, 6_000])
def test_long_histories_are_thinned_but_not_close_by(bars):
    index = pd.bdate_range("1990-01-01", periods=bars)
    forecasts = pictures(ROLLOUT, bars=bars, dates=index)
    page = page_of(forecasts)
    traces, _ = figure(page, "forecast-truth-1-0")
    every = dates(index[1:])
    for trace in traces:
        assert trace["x"] == traces[0]["x"]
        assert trace["x"][-500:] == every[-500:]
        assert len(trace["x"]) <= 1_500
        assert trace["x"][0] == every[0]
        gaps = np.diff([every.index(date) for date in trace["x"]])
        assert set(gaps[: -499 - 1]) == {1 if bars < 1_500 else 2 if bars == 1_503 else 6}
        assert max(gaps) == gaps[0]
    place = [every.index(date) for date in traces[0]["x"]]
    np.testing.assert_allclose(traces[0]["y"], forecasts.actual[place, 0], rtol=1e-5)
    said = re.search(r"Drawn are (.*?)\.", Page(page).text)
    assert (said[1] if said else None) == {
        1_400: None,
        1_503: "one bar in 2, and each of the last 500",
        6_000: "one bar in 6, and each of the last 500",
    }[bars]
    assert len(section(page)) < 300_000


def test_errors_by_step_stand_beside_the_naive_ones():
    forecasts = shown(ROLLOUT)
    page = page_of(forecasts)
    (lstm, mean, naive), _ = figure(page, "forecast-steps-1-0")
    found = facts(forecasts)["quality"]
    assert [t["name"] for t in (lstm, mean, naive)] == [
        "LSTM", "Mean of 100", "Today's price again"
    ]  # fmt: skip
    for trace, name, key in (
        (lstm, "lstm", "rmse"), (mean, "average", "rmse"), (naive, "lstm", "naive_rmse")
    ):  # fmt: skip
        assert trace["x"] == list(range(1, 9))
        errors = [step[key] for step in found[name]["steps"]]
        np.testing.assert_allclose(trace["y"], errors, rtol=1e-5)
    assert len({(t["line"]["color"], t["line"]["dash"]) for t in (lstm, mean, naive)}) == 3
    few = page_of(shown((*LINE, ("high", 1), ("high", 2))))
    assert "forecast-steps" not in few
    assert "forecast-fan" not in few


def test_forecasts_fan_out_from_every_fiftieth_bar():
    forecasts = shown(ROLLOUT)
    forecasts.forecast[:3] = np.nan
    (truth, *fans), _ = figure(page_of(forecasts), "forecast-fan-1-0")
    np.testing.assert_allclose(truth["y"], forecasts.actual[:-1, 0], rtol=1e-5)
    assert len(fans) == 4
    for start, fan in zip((3, 53, 103, 153), fans, strict=True):
        end = min(start + 9, 160)
        assert fan["x"] == dates(forecasts.dates[start:end])
        values = [forecasts.today[start], *forecasts.forecast[start]]
        np.testing.assert_allclose(fan["y"], values[: end - start], rtol=1e-5)
    assert [fan["showlegend"] for fan in fans] == [True, False, False, False]


def test_long_histories_have_fewer_fans():
    index = pd.bdate_range("1990-01-01", periods=6_001)
    page = page_of(pictures(ROLLOUT, bars=6_001, dates=index))
    (_, *fans), _ = figure(page, "forecast-fan-1-0")
    starts = [list(dates(index)).index(fan["x"][0]) for fan in fans]
    assert set(np.diff(starts)) == {150}
    assert len(fans) <= 60


def test_the_forecasts_of_some_epochs_are_drawn():
    forecasts = shown()
    (truth, *epochs), _ = figure(page_of(forecasts), "forecast-epochs-1")
    assert truth["x"] == dates(forecasts.snapshots[0].dates)
    np.testing.assert_allclose(truth["y"], forecasts.validation_actual, rtol=1e-5)
    assert [trace["name"] for trace in epochs] == [f"Epoch {n}" for n in (1, 2, 5, 9)]
    for trace, snapshot in zip(epochs, forecasts.snapshots, strict=True):
        np.testing.assert_allclose(trace["y"], snapshot.forecast, rtol=1e-5)
    light = [sum(bytes.fromhex(trace["line"]["color"][1:])) for trace in epochs]
    assert light == sorted(light, reverse=True)
    assert len(set(light)) == 4


def test_of_many_epochs_six_are_drawn_with_the_first_and_last():
    one = shown().snapshots[0]
    many = tuple(one._replace(epoch=epoch) for epoch in range(1, 31))
    (_, *epochs), _ = figure(page_of(shown(snapshots=many)), "forecast-epochs-1")
    names = [trace["name"] for trace in epochs]
    assert len(names) == 6
    assert (names[0], names[-1]) == ("Epoch 1", "Epoch 30")
    assert "forecast-epochs" not in page_of(shown(snapshots=()))


def test_each_field_has_its_own_figure_and_naive_forecast():
    forecasts = shown(FIELDS)
    page = page_of(forecasts)
    for i in (0, 1):
        (truth, _, naive), layout = figure(page, f"forecast-truth-1-{i}")
        np.testing.assert_allclose(truth["y"], forecasts.actual[:-1, i], rtol=1e-5)
        np.testing.assert_allclose(naive["y"], forecasts.today[:-1, i], rtol=1e-5)
        assert layout["yaxis"]["title"]["text"] == ("Open", "High")[i]
    bare = page_of(shown(FIELDS, today=forecasts.today[:, 0]))
    assert len(figure(bare, "forecast-truth-1-0")[0]) == 3
    assert len(figure(bare, "forecast-truth-1-1")[0]) == 2  # nothing known of the high's


def test_times_are_drawn_for_bars_within_the_day():
    index = pd.date_range("2002-01-01 09:30", periods=160, freq="5min")
    traces, _ = figure(page_of(pictures(LINE, dates=index)), "forecast-truth-1-0")
    assert traces[0]["x"][:2] == ["2002-01-01 09:35:00", "2002-01-01 09:40:00"]
