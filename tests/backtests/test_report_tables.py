import dataclasses

import pandas as pd
import pytest
from nextbar.backtests.common import LABELS, PLACEBOS, STRATEGIES
from nextbar.backtests.metrics import METRICS
from nextbar.backtests.report import render
from nextbar.backtests.report.words import ABOUT, MEANINGS, PLACEBO_NOTES

from .pages import SYMBOLS, Page, comparison, copied, one_symbol, with_training, without_mix


@pytest.fixture(scope="module")
def given():
    return comparison()


@pytest.fixture(scope="module")
def page(given):
    return Page(render(*given))


def shown(content, results):
    return Page(render(content, results))


def test_every_strategy_and_every_word_is_explained():
    assert set(ABOUT) == set(LABELS)
    assert set(PLACEBO_NOTES) == set(PLACEBOS)
    assert set(MEANINGS) == {"beats", "does not beat", "cannot tell"}


@pytest.mark.parametrize(
    ("word", "said", "sentence"),
    [
        ("beats", "beats all 8", "The LSTM beats all 8."),
        ("does not beat", "does not beat EMA cross: so", "The LSTM does not beat EMA cross: so."),
        ("cannot tell", "cannot tell (too short): so", "Cannot tell (too short): so."),
    ],
)
def test_the_verdict_comes_first(given, word, said, sentence):
    content = copied(given[0])
    content["evidence"]["verdict"] |= {
        "overall": word, "sentence": said, "detectable": 0.456, "detectable_percent": 7.6,
        "days": 2500,
    }  # fmt: skip
    content |= {"trials": 1234, "cautions": ["TEST: odd", "TEST: odder"]}
    text = shown(content, given[1]).text
    start = text.split("Against each baseline")[0]
    assert start.index(sentence) < start.index(MEANINGS[word])
    for fact in (
        "could have shown0.46 Sharpe, about 8 % a year",
        "test days2,500",
        "trials on these days1,234",
        "tested2002-01-01 to 2002-08-09",
        "cost a side5 bps",
        "folds2",
        "models a foldone, given",
        "2 cautions",
    ):
        assert fact in start
    assert text.index("TEST: odder") > text.index("how it was done")
    assert not any(other in text for name, other in MEANINGS.items() if name != word)


def test_without_a_mix_it_says_why(given):
    text = shown(*without_mix(given)).text
    assert "No verdict: the calendars differ." in text
    assert "smallest lead" not in text


def test_pairs_are_sorted_and_complete(given):
    content = copied(given[0])
    pairs = content["evidence"]["verdict"]["pairs"]
    pair = next(pair for pair in pairs if pair["baseline"] == "ema")
    pair |= {
        "difference": -9.0, "interval": [-9.5, 0.001], "intercept": 0.0123, "p": 0.0314,
        "detectable": 1.005, "verdict": "does not beat", "reason": "same positions",
    }  # fmt: skip
    content["evidence"]["bands"]["ema"] |= {"low": -1.234, "high": 5.678}
    content["evidence"]["verdict"]["dropped"] = {"majority": "buy_and_hold"}
    parsed = shown(content, given[1])
    rows = list(parsed.table("Against").items())[1:]
    assert rows[0] == (
        "EMA cross | same positions",
        ["does not beat", "-9.00", "-9.50 to +0.00", "-1.23 to +5.68", "+1.2%", "0.031", "1.00"],
    )
    leads = [float(cells[1]) for _, cells in rows]
    assert leads == sorted(leads)
    assert len(rows) == len(content["evidence"]["verdict"]["pairs"]) == 8
    assert "Majority class has the returns of Buy & hold and is counted once." in parsed.text


def test_every_measure_and_strategy_is_there(given, page):
    content = given[0]
    tables = [table for table in page.tables if table[0][0] == "Strategy"]
    assert len(tables) == 1 + len(SYMBOLS)
    names = [name for name in LABELS if name in content["equal_weight"]]
    assert {"random", "foresight", "inverted"} <= set(names)
    for table in tables:
        assert [row[0].split(" | ")[0] for row in table[1:]] == [LABELS[name] for name in names]
    measures = [metric for metric in METRICS if metric.name in content["equal_weight"]["lstm"]]
    assert [cell.split(" | ")[0] for cell in tables[0][0][1:]] == [m.label for m in measures]
    assert [cell.split(" | ")[0] for cell in tables[1][0][1:]] == [m.label for m in METRICS]


def test_placebos_stand_below_a_line_with_what_they_show(given):
    page = render(*given)
    part = page[page.index('id="strategies"') : page.index('id="equity"')]
    real, placebos = part.split("<tbody>")[1:]
    assert all(note not in real for note in PLACEBO_NOTES.values())
    for name in ("foresight", "inverted"):
        assert PLACEBO_NOTES[name] in placebos
        assert LABELS[name] not in real.replace("LSTM</th>", "")
    assert PLACEBO_NOTES["shuffled"] not in part  # a given model has none


def test_values_are_shown_by_their_units(given):
    content = copied(given[0])
    content["symbols"]["TEST"]["strategies"]["ema"] = {m.name: None for m in METRICS} | {
        "total_return": 0.1234,
        "cagr": -0.00001,
        "volatility": 12.345,
        "sharpe": 1.234,
        "calmar": 1234.5,
        "max_drawdown_bars": 1234,
        "turnover": 12.345,
        "costs_paid": 2.5e12,
        "break_even_bps": -2468.04,
    }
    table = shown(content, given[1]).table("Strategy", 2)
    heads = [head.split(" | ")[0] for head in table["Strategy"]]
    values = dict(zip(heads, table["EMA cross"], strict=True))
    assert values == {m.label: "n/a" for m in METRICS} | {
        "Total return": "12.3%",
        "CAGR": "0.0%",
        "Volatility": "1,234%",
        "Sharpe": "1.23",
        "Calmar": "1,234.50",
        "Longest drawdown": "1,234",
        "Turnover": "12.35",
        "Costs paid": "2.5e+12",
        "Break-even cost": "-2,468",
    }
    content["equal_weight"]["foresight"]["total_return"] = 7.2e8
    best = next(k for k in shown(content, given[1]).table("Strategy") if k.startswith("Perfect"))
    assert shown(content, given[1]).table("Strategy")[best][0] == "7.2e+10%"


def test_luck_is_told_in_figures(given):
    content = copied(given[0])
    spread = {"mean": 0.5, "sd": 0.25, "min": -0.126, "median": 0.4, "max": 1.5, "n": 5}
    content["evidence"] |= {
        "random": {"callers": 200, "as_good_or_better": 0.825, "sharpe": spread},
        "seeds": {"sharpe": spread},
        "lstm": {
            "probabilistic_sharpe": 0.951,
            "deflated_sharpe": {
                "probability": 0.42, "threshold": 0.77, "trials": 7, "reason": None
            },
            "minimum_track_record": {"days": 2283, "years": 9.06, "reason": None},
        },
        "snooping": {
            "superior_predictive_ability": {
                "lower": 0.1, "consistent": 0.0213, "upper": 0.3, "strategies": 9, "reason": None
            },
            "step_m": ["lstm", "ema"],
        },
        "halves": {"sentence": "decayed: so", "reason": None},
    }  # fmt: skip
    rows = shown(content, given[1]).table("Question")
    answers = [cells[0] for name, cells in rows.items() if name != "Question"]
    assert answers == [
        "82.5% of 200",
        "-0.13 to 1.50, sd 0.25 (5 seeds)",
        "95.1%",
        "42.0%",
        "2,283 days, 9.1 years",
        "p = 0.021",
        "LSTM, EMA cross",
        "decayed: so",
    ]
    assert "against 0.77, what the best of 7" in rows["Deflated Sharpe ratio"][1]


def test_costs_and_years_show_every_strategy(given, page):
    evidence = given[0]["evidence"]
    costs = page.table("Sharpe at a cost of")
    assert costs["Sharpe at a cost of"] == [f"{c} bps" for c in (0, 1, 2, 5, 10, 20)]
    for name in evidence["costs"][0]["strategies"]:
        ratios = [level["strategies"][name]["sharpe"] for level in evidence["costs"]]
        assert list(map(float, costs[LABELS[name]])) == pytest.approx(ratios, abs=0.00501)
    years = page.table("Year")
    assert years["Year"] == ["2002"]
    known = {p["strategy"]: p["total_return"] for p in evidence["years"]}
    assert set(years) == {"Year"} | {LABELS[n] for n in known if n in STRATEGIES}
    assert float(years["LSTM"][0].rstrip("%")) == pytest.approx(known["lstm"] * 100, abs=0.0501)
    regimes = page.table("Market")
    piece = next(p for p in evidence["regimes"] if (p["strategy"], p["label"]) == ("ema", "stormy"))
    assert regimes["EMA cross"][4] == f"{piece['sharpe']:z.2f}"
    assert regimes["EMA cross"][5] == f"{piece['mean_return']:z.1%}"


@pytest.mark.parametrize(
    ("value", "look"),
    [(0.3, "up3"), (0.1, "up2"), (0.05, "up1"), (0.0, None), (-0.05, "down1"), (-0.5, "down3")],
)
def test_years_are_tinted_by_their_return(given, value, look):
    content = copied(given[0])
    for piece in content["evidence"]["years"]:
        piece["total_return"] = value
    page = render(content, given[1])
    part = page[page.index("By calendar year") : page.index("By volatility")]
    assert part.count(f'<td class="{look}">' if look else "<td>") == 8 + 1


def test_calls_stand_beside_what_needs_no_skill(given):
    content = copied(given[0])
    content["symbols"]["TEST"]["calls"] |= {
        "calls": 1234, "accuracy": 0.4, "always_up": 0.45, "base_rate": 0.46, "mcc": -0.0123,
        "brier": 0.25123, "brier_base": 0.24, "log_loss": 0.7,
        "timing": {"statistic": 1.0, "p": 0.0456, "bars": 157, "reason": None},
    }  # fmt: skip
    rows = shown(content, given[1]).table("Symbol")
    assert rows["TEST"] == [
        "1,234", "40.0%", "55.0%", "46.0%", "-0.012", "0.2512", "0.2400", "0.7000", "0.046", "157"
    ]  # fmt: skip


def test_the_rules_of_each_fold_are_shown(given):
    content = copied(given[0])
    content["symbols"]["TEST"]["rules"] |= {
        "ema": [{"fast": 5, "slow": 20}, {"fast": 10, "slow": 50}],
        "majority": [{"direction": -1}, {"direction": 1}],
        "momentum": [{"period": 40}, {"period": 21}],
    }
    rows = shown(content, given[1]).table("Fold", 1)
    assert rows == {
        "Fold": ["Tested from", "EMA cross", "Momentum", "Majority class"],
        "1": ["2002-01-01", "5 / 20 bars", "40 bars", "always down"],
        "2": ["2002-04-01", "10 / 50 bars", "21 bars", "always up"],
    }


def test_a_given_model_has_no_record_of_its_training(given, page):
    model = given[0]["symbols"]["TEST"]["models"]["given"]
    facts = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert facts["File"] == f"model.onnx, sha256 {model['sha256'][:12]}"
    assert facts["Bars new to it"].startswith("from ")
    assert facts["Known flaws"] == "none"
    assert "Base rate" not in page.text
    assert "was given" in page.text


def test_trained_models_are_shown_by_fold_seeds_together(given):
    parsed = shown(*with_training(given))
    (table, _) = [t for t in parsed.tables if t[0][:2] == ["Fold", "Model"]]
    assert table[1:] == [
        ["1", "LSTM", "2001-12-27", "1,500", "300", "3, 4", "53.0%", "52.4%"],
        ["1", "Logistic regression", "2001-12-27", "1,500", "300", "0", "51.0%", "52.4%"],
        ["1", "LSTM, shuffled labels", "2001-12-27", "1,500", "300", "3", "49.0%", "52.4%"],
        ["2", "LSTM", "2002-12-27", "1,501", "300", "3, 4", "53.0%", "52.4%"],
        ["2", "Logistic regression", "2002-12-27", "1,501", "300", "0", "51.0%", "52.4%"],
        ["2", "LSTM, shuffled labels", "2002-12-27", "1,501", "300", "3", "49.0%", "52.4%"],
    ]
    facts = {row[0]: row[1] for row in parsed.rows if len(row) == 2}
    known = "Keras against ONNX on the test bars"
    assert facts[known] == "largest difference 1.2e-07, 0 flipped calls"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_refused_orders_are_listed(given, count):
    content, results = one_symbol(given)
    dates = results["TEST"]["ema"].equity.index[:count]
    rejected = pd.DataFrame({"date": dates, "size": -1234.5, "status": "Margin"})
    results["TEST"] = {
        name: dataclasses.replace(r, rejected=rejected if name == "ema" else r.rejected[:0])
        for name, r in results["TEST"].items()
    }
    parsed = shown(content, results)
    listed = [row for row in parsed.rows if row[-1] == "Margin"]
    assert listed == [["EMA cross", str(d.date()), "-1,234.5", "Margin"] for d in dates]
    said = {0: None, 1: "1 order refused", 3: "3 orders refused"}[count]
    assert ("refused" in parsed.text.split("Models")[1]) == bool(count)
    assert said is None or said in parsed.text


def test_settings_data_and_costs_are_shown(given, page):
    content, _ = given
    rows = [row for row in page.rows if len(row) == 2]
    for setting in (
        ["training.units", "16"],
        ["symbols", "M&M, TEST"],
        ["ema_grid", "5/15, 5/20"],
        ["shorts", "yes"],
        ["adjust", "not set"],
    ):
        assert setting in rows
    assert len([row for row in rows if row[0].startswith("training.")]) == len(
        content["experiment"]["training"]
    )
    folds = page.table("Fold", 2)
    assert folds["1"] == ["the first bar", "2001-10-01", "2002-01-01", "before 2002-04-01"]
    assert folds["2"] == ["the first bar", "2001-12-03", "2002-04-01", "the last bar"]
    bars = content["symbols"]["M&M"]["bars"]
    assert page.table("Symbol", 1)["M&M"] == [
        "420", "2001-01-01", bars["last"][:10], "159", "raw", bars["sha256"][:12]
    ]  # fmt: skip
    assert content["hash"] in page.text
    assert "Costs are 5 basis points" in page.text
    assert "starts with\n  100,000." in page.text
    assert "decides at the close of bar t and is filled at the open of bar t+1" in page.text
    assert "A call of down is a short position." in page.text
    assert "docs/verdict.md" in page.text
    assert "00:00:00" not in page.text
