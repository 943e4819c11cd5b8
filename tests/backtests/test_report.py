import hashlib
import importlib
import json
import os
import pickle
import re
import subprocess
import sys

import pytest
from nextbar.backtests import Experiment, compare
from nextbar.backtests.report import available, render
from nextbar.signals import load_bars, load_model
from nextbar.signals.store import canonical_json
from plotly.offline import get_plotlyjs

from ..models import write_model
from .pages import Page, comparison, copied, one_symbol


@pytest.fixture(scope="module")
def given():
    return comparison()


@pytest.fixture(scope="module")
def page(given):
    return render(*given)


def test_the_report_is_available_and_costs_nothing_to_import():
    assert available()
    code = (
        "import sys, nextbar.backtests.report;"
        "print([n for n in ('jinja2', 'plotly', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["jinja2", "plotly"])
def test_it_is_not_available_without_its_libraries(monkeypatch, missing):
    report = importlib.import_module("nextbar.backtests.report")
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == missing else object())
    assert not available()


def test_the_page_loads_nothing(page):
    loading = {"audio", "base", "embed", "frame", "iframe", "img", "link", "object", "source"}
    parsed = Page(page)
    for tag, attrs in parsed.tags:
        assert "src" not in attrs
        assert "srcset" not in attrs
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
    (tmp_path / "given.pkl").write_bytes(pickle.dumps(given))
    code = (
        "import hashlib, pickle, sys; from nextbar.backtests.report import render;"
        "page = render(*pickle.load(open(sys.argv[1], 'rb')));"
        "print(hashlib.sha256(page.encode()).hexdigest())"
    )
    for seed in "1", "2":
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "given.pkl")],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == hashlib.sha256(page.encode()).hexdigest()


def test_the_input_is_left_as_it_was(given):
    before = copied(given[0])
    render(*given)
    assert copied(given[0]) == before


def test_nothing_is_shown_as_nan_or_none(page):
    parsed = Page(page)
    assert not re.search(r"\b(nan|inf|infinity|undefined)\b", parsed.text, re.IGNORECASE)
    assert "None" not in [cell for row in parsed.rows for cell in row]
    for script in parsed.scripts:
        if "plotly.js v" not in script:
            assert not re.search(r"\b(NaN|Infinity|null)\b", script)


def test_names_and_notes_are_escaped(given):
    name = "<img src=x onerror=alert(1)>&amp;"
    content, results = one_symbol(given, name=name)
    content["symbols"][name]["bars"]["notes"] = ["</script><script>alert(2)</script>"]
    content["symbols"][name]["model"]["file"] = "<b>.onnx"
    content["experiment"]["name"] = "<i>"
    page = render(content, results)
    parsed = Page(page)
    assert not {"img", "b", "i"} & {tag for tag, _ in parsed.tags}
    assert name in parsed.text
    assert "<b>.onnx" in parsed.text
    assert "</script><script>alert(2)</script>" in parsed.text
    assert sum(tag == "script" for tag, _ in parsed.tags) == 3  # plotly and two figures


def test_caution_title_and_dates_come_first(given, page):
    parsed = Page(page)
    bars = given[0]["symbols"]["TEST"]["bars"]
    first, last = bars["test_first"][:10], bars["test_last"][:10]
    assert first == "2002-01-01"
    start = parsed.text.split("All symbols, equally weighted")[0]
    assert start.index("M&M, TEST") < start.index(first) < start.index(last)
    assert start.index(last) < start.index(given[0]["caution"])
    assert "00:00:00" not in parsed.text


def test_sections_stand_in_the_order_of_the_experiment(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page.replace(get_plotlyjs(), ""))
    assert headings == ["All symbols, equally weighted", "M&amp;M", "TEST", "What was compared"]


def test_one_symbol_has_no_equal_weight_section(given):
    page = render(*one_symbol(given))
    assert "equally weighted" not in Page(page).text


def test_the_page_says_how_to_repeat_the_run(tmp_path):
    model = write_model(tmp_path / "model.onnx", 8, symbols=("AAPL",))
    experiment = Experiment(
        symbols=("AAPL",), test_start="2012-06-01", model_sha256=load_model(model).sha256
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
