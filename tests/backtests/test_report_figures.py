import dataclasses

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.common import LABELS
from nextbar.backtests.report import render
from nextbar.backtests.report.figures import COLOURS, DASHES

from .pages import comparison, copied, figure, one_symbol, with_training, without_mix


@pytest.fixture(scope="module")
def given():
    return comparison()


@pytest.fixture(scope="module")
def page(given):
    return render(*given)


def test_every_strategy_has_a_look_of_its_own():
    assert set(COLOURS) == set(LABELS)
    assert len({(COLOURS[name], DASHES.get(name)) for name in LABELS}) == len(LABELS)


def test_the_equity_figure_draws_the_mix(given, page):
    traces, layout = figure(page, "equity-all")
    names = [name for name in LABELS if name in given[1]["TEST"]]
    assert [t["name"] for t in traces[::2]] == [LABELS[name] for name in names]
    for name, equity, drawdown in zip(names, traces[::2], traces[1::2], strict=True):
        returns = np.mean([runs[name].returns.to_numpy() for runs in given[1].values()], axis=0)
        values = np.cumprod(1 + returns)
        np.testing.assert_allclose(equity["y"], values, rtol=1e-5)
        expected = values / np.maximum.accumulate(values) - 1
        np.testing.assert_allclose(drawdown["y"], expected, rtol=1e-5, atol=1e-12)
        total = 1 + given[0]["equal_weight"][name]["total_return"]
        assert equity["y"][-1] == pytest.approx(total, rel=1e-5)
        assert equity["x"] == [str(d.date()) for d in given[1]["TEST"][name].equity.index]
    assert layout["yaxis"]["type"] == "log"


def test_few_lines_are_drawn_at_first_and_the_lstm_is_the_broadest(page):
    traces, _ = figure(page, "equity-all")
    drawn = {t["name"] for t in traces if t["visible"] is True}
    assert drawn == {"LSTM", "EMA cross", "Momentum", "Buy & hold"}
    assert {t["visible"] for t in traces if t["name"] == "Perfect foresight"} == {"legendonly"}
    width = {trace["name"]: trace["line"]["width"] for trace in traces}
    assert max(width, key=width.get) == "LSTM"


def test_new_folds_are_marked(page):
    for div_id in "equity-all", "calls-0":
        _, layout = figure(page, div_id)
        assert {shape["x0"] for shape in layout["shapes"]} == {"2002-04-01"}
        assert len(layout["shapes"]) == 2  # in both panels


def test_without_a_mix_each_symbol_has_its_equity(given, page):
    assert 'id="equity-0"' not in page
    traces, _ = figure(render(*without_mix(given)), "equity-1")
    for name, trace in zip(given[1]["TEST"], traces[::2], strict=True):
        found = next(t for t in traces if t["name"] == LABELS[name])
        values = given[1]["TEST"][name].equity.to_numpy()
        np.testing.assert_allclose(found["y"], values / values[0], rtol=1e-5)
        assert trace["y"][0] == 1


def test_a_lost_account_is_drawn_up_to_there(given):
    content, results = without_mix(given)
    lost = results["TEST"]["lstm"].equity.copy()
    lost.iloc[10:] = -5.0
    runs = results["TEST"] | {"lstm": dataclasses.replace(results["TEST"]["lstm"], equity=lost)}
    traces, _ = figure(render(content, results | {"TEST": runs}), "equity-1")
    assert [len(trace["y"]) for trace in traces[:3]] == [10, 10, len(lost)]
    assert [len(trace["x"]) for trace in traces[:3]] == [10, 10, len(lost)]


def test_the_forest_shows_every_pair(given):
    content = copied(given[0])
    verdict = content["evidence"]["verdict"]
    verdict["pairs"][0]["verdict"] = "beats"
    verdict["pairs"][1]["verdict"] = "does not beat"
    traces, layout = figure(render(content, given[1]), "forest")
    pairs = sorted(verdict["pairs"], key=lambda pair: pair["difference"])
    assert layout["yaxis"]["ticktext"] == [pair["label"] for pair in pairs]
    assert layout["yaxis"]["range"][0] > layout["yaxis"]["range"][1]  # the first on top
    found = {}
    marks = [trace for trace in traces if trace["mode"] == "markers"]
    for trace in marks:
        error = trace["error_x"]
        for x, y, less, more in zip(
            trace["x"], trace["y"], error["arrayminus"], error["array"], strict=True
        ):
            found[y] = (trace["name"], x, x - less, x + more)
    for row, pair in enumerate(pairs):
        word, lead, low, high = found[row]
        assert word == pair["verdict"]
        assert [lead, low, high] == pytest.approx([pair["difference"], *pair["interval"]], 1e-4)
    assert len({trace["marker"]["symbol"] for trace in marks}) == len(marks) == 3
    bands = [trace for trace in traces if trace["mode"] == "lines"]
    for row, (pair, trace) in enumerate(zip(pairs, bands, strict=True)):
        band = content["evidence"]["bands"][pair["baseline"]]
        assert trace["x"] == pytest.approx([band["low"], band["high"]], rel=1e-5)
        assert row < trace["y"][0] < row + 0.5
    assert sorted(shape["x0"] for shape in layout["shapes"]) == [0, 0.2]
    ends = [end for trace in bands for end in trace["x"]]
    assert layout["xaxis"]["range"][0] < min(*ends, 0)
    assert layout["xaxis"]["range"][1] > max(*ends, 0.2)


def test_luck_is_drawn_from_seeds_and_random_callers(given):
    content = copied(given[0])
    spread = {"mean": 0.5, "sd": 0.25, "min": -0.5, "median": 0.4, "max": 1.5, "n": 200}
    content["evidence"]["random"]["sharpe"] = spread
    content["symbols"]["TEST"]["seeds"] = [0.1, None, 0.3]
    content["symbols"]["TEST"]["strategies"]["lstm"]["sharpe"] = 0.25
    content["equal_weight"]["lstm"]["sharpe"] = 0.345
    traces, layout = figure(render(content, given[1]), "luck-figure")
    assert layout["yaxis"]["ticktext"] == ["Random callers", "Seeds", "M&amp;M", "TEST"]
    assert [trace["x"] for trace in traces[:3]] == [[-0.5, 1.5], [0.25, 0.75], [0.4]]
    assert {y for trace in traces[:3] for y in trace["y"]} == {0}
    assert [trace["x"] for trace in traces[-2:]] == [[0.1, 0.3], [0.25]]
    assert {y for trace in traces[-2:] for y in trace["y"]} == {3}
    assert [shape["x0"] for shape in layout["shapes"]] == [0.345]


def test_costs_are_drawn_for_every_strategy(given):
    content = copied(given[0])
    costs = content["evidence"]["costs"]
    costs[1]["strategies"]["lstm"]["sharpe"] = None
    traces, layout = figure(render(content, given[1]), "costs-figure")
    by_name = {trace["name"]: trace for trace in traces}
    for name in costs[0]["strategies"]:
        points = [(c["cost_bps"], c["strategies"][name]["sharpe"]) for c in costs]
        known = [point for point in points if point[1] is not None]
        trace = by_name[LABELS[name]]
        np.testing.assert_allclose(list(zip(trace["x"], trace["y"], strict=True)), known, 1e-5)
        hidden = name in ("foresight", "inverted")
        assert trace["visible"] == ("legendonly" if hidden else True)
    assert len(by_name["LSTM"]["x"]) == 5
    assert [shape["x0"] for shape in layout["shapes"]] == [5]


def test_calibration_draws_each_symbol_beside_the_diagonal(given, page):
    (diagonal, *traces), _ = figure(page, "calibration")
    assert diagonal["x"] == diagonal["y"]
    assert [trace["name"] for trace in traces] == ["M&amp;M", "TEST"]
    for trace, name in zip(traces, ("M&M", "TEST"), strict=True):
        bins = given[0]["symbols"][name]["calls"]["calibration"]
        np.testing.assert_allclose(trace["x"], [b["score"] for b in bins], rtol=1e-5)
        np.testing.assert_allclose(trace["y"], [b["up"] for b in bins], rtol=1e-5)


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
    index = pd.date_range("2002-01-01 09:30", periods=159, freq="5min")
    series = ("equity", "returns", "position", "direction", "close")
    results["TEST"] = {
        name: dataclasses.replace(r, **{k: getattr(r, k).set_axis(index) for k in series})
        for name, r in results["TEST"].items()
    }
    traces, _ = figure(render(content, results), "equity-all")
    assert traces[0]["x"][:2] == ["2002-01-01 09:30:00", "2002-01-01 09:35:00"]


def test_the_loss_of_a_training_is_drawn(given, page):
    assert 'id="loss-0"' not in page
    traces, layout = figure(render(*with_training(given)), "loss-1")
    assert [t["y"] for t in traces] == [[0.69, 0.68, 0.67], [0.705, 0.7, 0.695]]
    assert traces[0]["x"] == [1, 2, 3]
    assert layout["shapes"][0]["x0"] == 2
