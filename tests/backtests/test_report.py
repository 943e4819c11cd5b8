import hashlib
import json
import os
import pickle
import re
import subprocess
import sys

import pytest
from nextbar.backtests import Experiment, compare
from nextbar.backtests.report import render
from nextbar.signals import load_bars, load_model
from nextbar.signals.store import canonical_json
from plotly.offline import get_plotlyjs

from ..models import write_model
from .pages import Page, comparison, copied, one_symbol, with_training, without_mix


@pytest.fixture(scope="module")
def given():
    return comparison()


@pytest.fixture(scope="module")
def page(given):
    return render(*given)


def test_the_report_costs_nothing_to_import():
    code = (
        "import sys, nextbar.backtests.report;"
        "print([n for n in ('jinja2', 'plotly', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_loads_nothing(page):
    loading = {"audio", "base", "embed", "frame", "iframe", "img", "link", "object", "source"}
    parsed = Page(page)
    for tag, attrs in parsed.tags:
        assert "src" not in attrs
        assert "srcset" not in attrs
        assert attrs.get("href", "#").startswith("#") or attrs["href"] == "data:,"
        assert tag not in loading or attrs == {"rel": "icon", "href": "data:,"}
        assert "http-equiv" not in attrs
    own = page.replace(get_plotlyjs(), "")
    assert not re.search(r"https?:|@import|url\(", own)
    assert page.startswith("<!DOCTYPE html>")


def test_plotly_is_on_the_page_once(page):
    assert page.count(get_plotlyjs()) == 1
    assert page.count("* plotly.js v") == 1


def test_equal_input_gives_equal_bytes(given, page, tmp_path):
    assert render(*given) == page
    stored = json.loads(canonical_json(given[0]))  # as read from results.json: sorted
    assert render(stored, given[1]) == page
    turned = {symbol: dict(reversed(runs.items())) for symbol, runs in given[1].items()}
    (tmp_path / "given.pkl").write_bytes(pickle.dumps((given[0], turned)))
    code = (
        "import hashlib, pickle, sys; from nextbar.backtests.report import render;"
        "page = render(*pickle.load(open(sys.argv[1], 'rb')));"
        "print(hashlib.sha256(page.encode()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "given.pkl")],
        env=os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(page.encode()).hexdigest()


def test_the_input_is_left_as_it_was(given):
    before = copied(given[0])
    render(*given)
    assert copied(given[0]) == before


def emptied(content):
    """Return a content with None wherever a figure may be undefined."""
    content = copied(content)
    evidence = content["evidence"]
    evidence["verdict"] |= {"detectable": None, "detectable_percent": None}
    evidence["halves"] = {"decayed": None, "sentence": "not defined", "reason": "nothing moved"}
    evidence["lstm"] = {
        "probabilistic_sharpe": None,
        "deflated_sharpe": {"probability": None, "threshold": None, "trials": 3, "reason": "why"},
        "minimum_track_record": {"days": None, "years": None, "reason": "why"},
    }
    evidence["random"] |= {"as_good_or_better": None, "sharpe": None}
    evidence["seeds"] = dict.fromkeys(evidence["seeds"])
    evidence["snooping"]["superior_predictive_ability"] |= {
        "consistent": None, "lower": None, "upper": None, "reason": "why"
    }  # fmt: skip
    evidence["regimes"] = []
    evidence["bands"] = {}
    for piece in evidence["years"]:
        piece["sharpe"] = None
    for level in evidence["costs"]:
        level["strategies"]["lstm"]["sharpe"] = None
    content["equal_weight"] = nothing(content["equal_weight"])
    for part in content["symbols"].values():
        part["strategies"] = nothing(part["strategies"])
        part["seeds"] = [None]
        timing = {"statistic": None, "p": None, "bars": 0, "reason": "all calls are the same"}
        part["calls"] = dict.fromkeys(part["calls"]) | {
            "bars": 0, "calls": 0, "calibration": [], "timing": timing
        }  # fmt: skip
    return content


def nothing(strategies):
    return {name: dict.fromkeys(measures) for name, measures in strategies.items()}


@pytest.mark.parametrize("change", [lambda g: g, with_training, without_mix, one_symbol, None])
def test_nothing_is_shown_as_nan_or_none(given, change):
    content, results = change(given) if change else (emptied(given[0]), given[1])
    parsed = Page(render(content, results))
    assert not re.search(r"\b(nan|inf|infinity|undefined)\b", parsed.text, re.IGNORECASE)
    assert "None" not in parsed.text
    for script in parsed.scripts:
        if "plotly.js v" not in script:
            assert not re.search(r"\b(NaN|Infinity|null)\b", script)


def test_what_is_undefined_is_named(given):
    parsed = Page(render(emptied(given[0]), given[1]))
    assert parsed.table("Strategy")["LSTM"] == ["n/a"] * 7
    luck = parsed.table("Question")
    assert luck["Deflated Sharpe ratio"][0] == "n/a (why)"
    assert luck["Two halves"][0] == "not defined: nothing moved"
    calls = parsed.table("Symbol")
    assert calls["TEST | no timing test: all calls are the same"] == ["0", *["n/a"] * 8, "0"]
    assert "Calibration" not in parsed.text


def test_names_and_notes_are_escaped(given):
    name = "<img src=x onerror=alert(1)>&amp;"
    content, results = one_symbol(given, name=name)
    content["symbols"][name]["bars"]["notes"] = ["</script><script>alert(2)</script>"]
    content["symbols"][name]["models"]["given"]["file"] = "<b>.onnx"
    content["experiment"]["name"] = "<i>"
    content["cautions"] = ["<u>"]
    content["evidence"]["verdict"]["sentence"] = "beats <em>"
    page = render(content, results)
    parsed = Page(page)
    assert not {"img", "b", "i", "u", "em"} & {tag for tag, _ in parsed.tags}
    assert parsed.text.count(name) >= 5
    assert "<b>.onnx" in parsed.text
    assert "</script><script>alert(2)</script>" in parsed.text
    figures = ("forest", "equity-all", "luck-figure", "costs-figure", "calibration", "calls-0")
    assert sum(tag == "script" for tag, _ in parsed.tags) == 1 + len(figures)
    own = [script for script in parsed.scripts if "plotly.js v" not in script]
    assert not any("<img" in script or "<\\u" in script for script in own)


def test_sections_stand_in_order(given, page):
    def headings(text):
        return re.findall(r"<h2 .*?>(.*?)</h2>", text.replace(get_plotlyjs(), ""))

    own = ["Calls: right how often?", "M&amp;M", "TEST", "Cautions, and how it was done"]
    mixed = [
        "Against each baseline",
        "All strategies",
        "Equity and drawdown",
        "Is it luck?",
        "Costs and times",
    ]
    assert headings(page) == mixed + own
    assert headings(render(*without_mix(given))) == own


def test_every_link_inside_the_page_has_a_goal(given, page):
    for text in page, render(*without_mix(given)):
        tags = Page(text).tags
        ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
        assert len(set(ids)) == len(ids)
        goals = [attrs["href"] for tag, attrs in tags if tag == "a"]
        assert len(goals) >= 4
        assert {goal.removeprefix("#") for goal in goals} <= set(ids)


def test_wide_things_scroll_by_themselves(page):
    parsed = Page(page)
    tags = [(tag, attrs.get("class")) for tag, attrs in parsed.tags]
    tables = [i for i, (tag, _) in enumerate(tags) if tag == "table"]
    assert len(tables) == len(parsed.tables)
    assert all(tags[i - 1] == ("div", "scroll") for i in tables)


def test_the_page_says_how_to_repeat_the_run(tmp_path):
    model = write_model(tmp_path / "model.onnx", 8, symbols=("AAPL",))
    experiment = Experiment(
        symbols=("AAPL",),
        folds=({"validation_start": "2012-06-01", "test_start": "2013-01-02"},),
        ema_grid=((5, 20),),
        momentum_grid=(21,),
        model_sha256=load_model(model).sha256,
    )
    bars = {"AAPL": load_bars("AAPL")}
    first = compare(experiment, bars, runs=tmp_path / "first", model=model)
    written = (first.folder / "report.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in written
    code = re.search(r"<pre>(.*?)</pre>", written.replace(get_plotlyjs(), ""), re.DOTALL)[1]
    code = code.replace("&#34;", '"').replace("PATH OF THE MODEL FILE", str(model))
    subprocess.run([sys.executable, "-c", code], cwd=first.folder, check=True)
    again = first.folder / "runs" / first.folder.name / "report.html"
    assert again.read_text(encoding="utf-8") == written
