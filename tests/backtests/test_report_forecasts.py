import json
import re

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.forecasting import Forecasts, Snapshot
from nextbar.backtests.report import render
from nextbar.signals.errors import ExperimentError
from nextbar.signals.store import canonical_json

from .forecast_pages import FIELDS, LINE, ROLLOUT, facts, page_of, section, shown, with_forecasts
from .pages import Page, comparison, copied


def test_symbols_without_forecasts_show_nothing_of_them():
    content, results = comparison()
    plain = render(content, results)
    assert render(content, results, {"TEST": shown()}) == plain
    assert 'id="forecast' not in plain
    page = page_of(shown())
    assert 'id="forecasts-0"' not in page  # only the other symbol has some
    assert page.replace(f"<h3 {section(page)}", "") == plain


def test_without_pictures_there_are_tables_only():
    content, results, _ = with_forecasts(shown())
    part = section(render(content, results))
    assert "<svg" not in part
    assert "<script" not in part
    assert part.count("<table") == 2


def test_the_table_has_a_row_for_each_forecaster_the_lstm_first():
    content, results, drawn = with_forecasts(shown())
    part = content["symbols"]["TEST"]["forecasts"]
    part["labels"] |= {"lstm": "Z & net", "average": "A mean"}
    part["quality"]["lstm"] |= {
        "bars": 1234, "rmse": 1234.5678, "naive_rmse": 0.0012345, "mase": 1.0006,
        "theils_u": 0.98765, "hit_rate": 0.512, "base_rate": 0.523, "late": True,
    }  # fmt: skip
    part["quality"]["average"] |= {"rmse": 12.3456, "naive_rmse": 0.0, "late": False}
    rows = Page(render(content, results, drawn)).table("Forecaster")
    assert list(rows)[1:] == ["Z & net", "A mean"]
    assert rows["Z & net"] == [
        "1,234", "1,235", "0.001234", "1.001", "0.988", "51.2%", "52.3%", "yes"
    ]  # fmt: skip
    assert [rows["A mean"][i] for i in (1, 2, 7)] == ["12.35", "0", "no"]


def test_what_is_not_defined_is_named():
    content, results, drawn = with_forecasts(shown())
    part = content["symbols"]["TEST"]["forecasts"]
    for found in part["quality"].values():
        found |= dict.fromkeys(found) | {"bars": 0, "calls": 0}
        found["steps"] = [
            {"ahead": ahead, "rmse": None, "naive_rmse": None, "mase": None} for ahead in (1, 2)
        ]
    page = Page(render(content, results, drawn))
    assert page.table("Forecaster")["LSTM"] == ["0"] + ["n/a"] * 7
    assert page.table("Price")["open, 2 bars ahead"] == ["n/a"] * 3
    assert "None" not in page.text


def test_sentences_notes_and_columns_are_told_and_escaped():
    content, results, drawn = with_forecasts(shown())
    part = content["symbols"]["TEST"]["forecasts"]
    part |= {"move_note": "From <open> to <open>."}
    part["sentences"] = {"lstm": "It <u>lags</u>.", "average": "It is <flat>."}
    part["labels"]["average"] = "<i>Mean</i>"
    page = render(content, results, drawn)
    parsed = Page(page)
    for text in ("From <open> to <open>.", "LSTM. It <u>lags</u>.", "<i>Mean</i>. It is <flat>."):
        assert text in parsed.text
    assert not {"u", "i", "flat", "open"} & {tag for tag, _ in parsed.tags}
    assert parsed.text.index("It <u>lags") < parsed.text.index("It is <flat>")
    assert "Of the open, 1 bar ahead." in parsed.text


def test_every_column_has_its_error_in_a_table():
    forecasts = shown(FIELDS)
    found = facts(forecasts)["quality"]["lstm"]["steps"]
    page = Page(page_of(forecasts))
    rows = page.table("Price")
    assert list(rows)[1:] == ["open, 1 bar ahead", "high, 1 bar ahead"]
    for cells, step in zip(list(rows.values())[1:], found, strict=True):
        values = [step[name] for name in ("rmse", "naive_rmse", "mase")]
        assert list(map(float, cells)) == pytest.approx(values, rel=2e-3)
    assert "Price" not in [t[0][0] for t in Page(page_of(shown(LINE[:1]))).tables]


def test_equal_input_gives_equal_bytes():
    content, results, drawn = with_forecasts(shown(ROLLOUT))
    page = render(content, results, drawn)
    assert render(json.loads(canonical_json(content)), results, drawn) == page
    turned = copied(content)
    part = turned["symbols"]["TEST"]["forecasts"]
    for name in ("labels", "quality", "sentences"):
        part[name] = dict(reversed(part[name].items()))
    assert render(turned, results, drawn) == page


@pytest.mark.parametrize("columns", [LINE[:1], ROLLOUT, FIELDS])
def test_the_page_stays_whole(columns):
    page = page_of(shown(columns))
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert not re.search(r"\b(nan|inf|None|undefined)\b", Page(section(page)).text)
    told = [attrs for _, attrs in Page(section(page)).tags if attrs.get("class") == "figure"]
    assert all(attrs["role"] == "group" and len(attrs["aria-label"]) > 40 for attrs in told)
    assert len(told) == {1: 2, 2: 3, 8: 4}[len(columns)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": ()}, "0 columns, 1 or more"),
        ({"columns": LINE[:1]}, r"160 bars and 1 columns.*\(160, 2\)"),
        ({"dates": pd.bdate_range("2001-01-01", periods=9)}, "expected 9 bars"),
        ({"today": np.ones(159)}, r"\(159,\)"),
        ({"actual": np.ones((160, 3))}, r"\(160, 3\)"),
        ({"validation_actual": None}, "snapshot of epoch 1: .* None"),
        ({"validation_actual": np.ones(49)}, r"\(49,\)"),
        (
            {"snapshots": (Snapshot(7, pd.bdate_range("2001-01-01", periods=50), np.ones(3)),)},
            "epoch 7",
        ),
    ],
)
def test_forecasts_that_fit_nothing_are_refused(change, message):
    with pytest.raises(ExperimentError, match=message):
        shown(**change)


def test_the_naive_forecast_of_a_column():
    two = shown(FIELDS)
    np.testing.assert_array_equal(two.naive(1), two.today[:, 1])
    assert Forecasts(two.dates, FIELDS, two.forecast, two.actual, np.ones(160)).naive(1) is None
