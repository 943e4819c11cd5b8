import dataclasses

import pandas as pd
import pytest
from nextbar.backtests.common import STRATEGIES
from nextbar.backtests.metrics import METRICS
from nextbar.backtests.report import render

from .pages import SYMBOLS, Page, comparison, figure, one_symbol


@pytest.fixture(scope="module")
def given():
    return comparison()


@pytest.fixture(scope="module")
def page(given):
    return render(*given)


def test_values_are_shown_by_their_units(given):
    content, results = one_symbol(given)
    values = {m.name: None for m in METRICS} | {
        "total_return": 0.1234,
        "cagr": -0.00001,
        "sharpe": 1.234,
        "max_drawdown_bars": 1234,
        "turnover": 12.345,
        "costs_paid": 1234.5,
        "break_even_bps": -2468.04,
    }
    content["symbols"]["TEST"]["strategies"]["ema"] = values
    shown = {row[0]: row[2] for row in Page(render(content, results)).rows if len(row) == 5}
    assert shown["Total return %"] == "12.3%"
    assert shown["CAGR % per year"] == "0.0%"
    assert shown["Sharpe ratio, annualised"] == "1.23"
    assert shown["Longest drawdown bars"] == "1,234"
    assert shown["Turnover times equity per year"] == "12.35"
    assert shown["Costs paid account currency"] == "1,234.50"
    assert shown["Break-even cost basis points per side"] == "-2,468.0"
    assert shown["Hit rate % of trades"] == "not defined"
    assert shown["Trades count"] == "not defined"


def test_every_measure_and_strategy_is_there(given, page):
    content, _ = given
    rows = [row for row in Page(page).rows if len(row) == 5]
    heads = [row for row in rows if row[0] == "Measure"]
    assert heads == [["Measure", *STRATEGIES.values()]] * 3
    for metric in METRICS:
        of_metric = [row for row in rows if row[0].startswith(f"{metric.label} ")]
        pooled = metric.name in content["equal_weight"]["lstm"]
        assert len(of_metric) == len(SYMBOLS) + pooled, metric


def test_a_given_model_has_no_record_of_its_training(given):
    parsed = Page(render(*one_symbol(given)))
    facts = {row[0]: row[1] for row in parsed.rows if len(row) == 2}
    model = given[0]["symbols"]["TEST"]["model"]
    assert facts["File"] == f"model.onnx, sha256 {model['sha256'][:12]}"
    assert facts["Training dates"] == "1990-01-01 to 1999-12-31"
    assert facts["Up means"].startswith("open[t+2] > open[t+1]")
    assert facts["Best epoch"] == facts["Rows"] == "not recorded"
    assert facts["Keras against ONNX, test"] == "not recorded"
    assert facts["Known flaws"] == "none"
    assert not any(row[0] == "Validation" for row in parsed.rows)


def test_a_trained_model_shows_accuracy_beside_base_rate(given):
    content, results = one_symbol(given)
    epoch = {"of": 3, "validation_accuracy": 0.5}
    content["symbols"]["TEST"]["model"] |= {
        "train_rows": 1500,
        "validation_rows": 300,
        "best_epoch": 2,
        "validation_accuracy": 0.531,
        "validation_base_rate": 0.524,
        "history": [
            {"number": n, "loss": 0.7 - n / 100, "validation_loss": 0.71 - n / 200} | epoch
            for n in (1, 2, 3)
        ],
        "test_windows": {"windows": 159, "max_difference": 1.234e-7, "flipped_calls": 0},
        "target": "close",
        "horizon": 2,
        "known_flaws": ["leaky"],
    }
    content["symbols"]["TEST"]["calls"] = {
        "rows": 157, "accuracy": 0.4, "base_rate": 0.55, "up_calls": 0.3
    }  # fmt: skip
    page = render(content, results)
    parsed = Page(page)
    assert ["Validation", "300", "53.1%", "52.4%"] in parsed.rows
    assert ["Test", "157", "40.0%", "55.0%"] in parsed.rows
    facts = {row[0]: row[1] for row in parsed.rows if len(row) == 2}
    assert facts["Rows"] == "1,500 training, 300 validation"
    assert facts["Best epoch"] == "2"
    assert facts["Up means"].startswith("close[t+2] > close[t],")
    assert facts["Known flaws"] == "leaky"
    assert "1.2e-07, 0 flipped calls in 159 windows" in facts["Keras against ONNX, test"]
    traces, _ = figure(page, "loss-0")
    assert [t["y"] for t in traces] == [[0.69, 0.68, 0.67], [0.705, 0.7, 0.695]]
    assert traces[0]["x"] == [1, 2, 3]


def test_calls_that_cannot_be_judged_are_not_defined(given):
    content, results = one_symbol(given)
    content["symbols"]["TEST"]["calls"] = {
        "rows": 0, "accuracy": None, "base_rate": None, "up_calls": None
    }  # fmt: skip
    parsed = Page(render(content, results))
    assert ["Test", "0", "not defined", "not defined"] in parsed.rows
    assert "of the calls on the test bars" not in parsed.text


@pytest.mark.parametrize("count", [0, 2, 11])
def test_rejected_orders_are_listed(given, count):
    content, results = one_symbol(given)
    dates = results["TEST"]["ema"].equity.index[:count]
    rejected = pd.DataFrame({"date": dates, "size": -1234.5, "status": "Margin"})
    results["TEST"] = {
        name: dataclasses.replace(r, rejected=rejected if name == "ema" else r.rejected[:0])
        for name, r in results["TEST"].items()
    }
    parsed = Page(render(content, results))
    listed = [row for row in parsed.rows if row[-1] == "Margin"]
    assert listed == [["EMA cross", str(d.date()), "-1,234.5", "Margin"] for d in dates]
    details = [attrs for tag, attrs in parsed.tags if tag == "details"]
    assert details == {0: [], 2: [{"open": None}], 11: [{}]}[count]


def test_settings_data_and_costs_are_shown(given, page):
    content, _ = given
    parsed = Page(page)
    rows = [row for row in parsed.rows if len(row) == 2]
    assert ["training.units", "16"] in rows
    assert ["symbols", "M&M, TEST"] in rows
    assert ["shorts", "yes"] in rows
    assert ["adjust", "not set"] in rows
    assert len([row for row in rows if row[0].startswith("training.")]) == len(
        content["experiment"]["training"]
    )
    bars = content["symbols"]["M&M"]["bars"]
    (data,) = [row for row in parsed.rows if len(row) == 7 and row[0] == "M&M"]
    assert data == [
        "M&M", "420", "2001-01-01", bars["last"][:10], "159", "raw", bars["sha256"][:12]
    ]  # fmt: skip
    assert content["hash"] in parsed.text
    assert "Costs are 5 basis points" in parsed.text
    assert "starts with\n  100,000." in parsed.text
    assert "decides at the close of bar t and is filled at the open of bar t+1" in parsed.text
