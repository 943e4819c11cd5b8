"""The page of a tutorial's own form: what it shows of a real run, of any other, and when."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.faithful import faithful_facts
from nextbar.backtests.faithful_words import NO_LEAK, form_rows, moves_text, worth_text
from nextbar.backtests.report import render_faithful
from nextbar.signals import load_model
from nextbar.signals.bars import COLUMNS
from nextbar.signals.store import canonical_json, digest
from nextbar.training import fit
from plotly.offline import get_plotlyjs

from .faithful_runs import RECIPE, Done, copied, faithful_run
from .forecast_pages import LINE, ROLLOUT, facts, pictures
from .pages import Page, figure

# keras 3.15 reads its variables with numpy 1's `__array__`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return faithful_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def page(done: Done) -> str:
    return Path(done.facts["faithful"]["page"]).read_text(encoding="utf-8")


def own_text(page: str) -> str:
    return page.replace(get_plotlyjs(), "")


def test_the_page_stands_in_the_folder_of_the_run(done: Done, page: str) -> None:
    assert Path(done.facts["faithful"]["page"]) == done.comparison.folder / "faithful/report.html"
    assert (done.comparison.folder / "report.html").is_file()
    assert '<a href="../report.html">' in page
    assert str(done.runs) not in page


def test_it_says_what_it_is_in_order(done: Done, page: str) -> None:
    flaws = done.facts["faithful"]["flaws"]
    wanted = [
        "<title>Tutorial&#39;s own form: AAPL - nextbar</title>",
        '<section class="verdict down" id="verdict">',
        "The tutorial&#39;s own form: no verdict is ever made of it.",
        '<dt>recipe</dt><dd>stacked-10</dd>', "<dt>known flaws</dt><dd>3</dd>",
        "<dt>epochs</dt><dd>2</dd>",
        '<h2 id="flaws">', *(f'<th scope="row">{name}</th><td>' for name in flaws),
        '<h2 id="symbol-0">AAPL</h2>', "Next bar: RMSE", "Net Sharpe ratio",
        '<h3 id="forecasts-0">', "Truth and forecast: close, 1 bar ahead",
        "Forecasts while the network learnt", "Loss by epoch",
        '<h2 id="method">', '<h3 id="origin">', f"<td>{RECIPE.title}</td>",
        *(f"<li>{note.replace(chr(39), '&#39;')}</li>" for note in RECIPE.notes),
        "Settings of its own form",
    ]  # fmt: skip
    text = own_text(page)
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)
    assert NO_LEAK not in Page(page).text
    for name, meaning in flaws.items():
        assert [name, meaning] in Page(page).rows


def test_its_table_is_that_of_the_terminal(done: Done, page: str) -> None:
    forms = done.facts["faithful"]["symbols"]["AAPL"]
    (table,) = (table for table in Page(page).tables if table[0][0] == "Figure")
    assert table[0] == ["Figure", "Honest", "Tutorial's own", "Difference"]
    assert [tuple(row) for row in table[1:]] == [
        (name.strip(), *cells) for name, *cells in form_rows(forms)
    ]
    assert len(table) == 12
    honest, own = (forms[kind]["forecast"] for kind in ("honest", "own"))
    # Opens and closes are two prices: only what has no unit can be compared.
    assert table[1] == ["Next bar: RMSE", f"{honest['rmse']:.4g}", f"{own['rmse']:.4g}", "n/a"]
    one, other = honest["theils_u"], own["theils_u"]
    assert table[3] == ["Next bar: Theil's U", f"{one:.2f}", f"{other:.2f}", f"{other - one:+.2f}"]
    assert moves_text(forms) in Page(page).text
    assert worth_text(forms) in Page(page).text
    assert "but for what was typed (epochs, units)" in Page(page).text


def test_its_pictures_are_of_the_own_form_on_the_test_bars(done: Done, page: str) -> None:
    frame, start = done.bars["AAPL"], done.start
    model = load_model(done.comparison.folder / "faithful" / "AAPL.onnx")
    said = model.forecast(frame[list(COLUMNS)].to_numpy(np.float64))[start - 9 :, 0]
    close = frame["close"].to_numpy()
    (truth, forecast, naive), layout = figure(page, "forecast-truth-0-0")
    assert truth["x"] == [str(date.date()) for date in frame.index[start + 1 :]]
    np.testing.assert_allclose(truth["y"], close[start + 1 :], rtol=1e-5)
    np.testing.assert_allclose(forecast["y"], said[:-1], rtol=1e-5)
    np.testing.assert_allclose(naive["y"], close[start:-1], rtol=1e-5)
    assert naive["visible"] == "legendonly"
    assert layout["updatemenus"][0]["buttons"][1]["label"] == "Last 60 bars"


def test_its_pictures_of_the_training(done: Done, page: str) -> None:
    stored = json.loads((done.comparison.folder / "faithful" / "AAPL.json").read_text())["learning"]
    (truth, *epochs), _ = figure(page, "forecast-epochs-0")
    assert [line["name"] for line in epochs] == ["Epoch 1", "Epoch 2"]
    # The flaw has the network told another price, the open: the truth is what it is meant to say.
    close = done.bars["AAPL"]["close"]
    drawn = pd.DatetimeIndex(truth["x"])
    np.testing.assert_allclose(truth["y"], close.loc[drawn], rtol=1e-5)
    fold = done.experiment.folds[0]
    assert drawn[0] > pd.Timestamp(fold.validation_start)
    assert drawn[-1] < pd.Timestamp(fold.test_start)
    for line, values in zip(epochs, stored["course"]["epochs"].values(), strict=True):
        np.testing.assert_allclose(line["y"], values, rtol=1e-5)
    (training, validation), _ = figure(page, "loss-0")
    assert training["x"] == [1, 2]
    for line, key in ((training, "loss"), (validation, "validation_loss")):
        losses = [epoch[key] for epoch in stored["history"]]
        np.testing.assert_allclose(line["y"], losses, rtol=1e-5)


def test_it_is_written_again_only_when_it_is_missing_or_changed(
    done: Done, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "fit_task", None)  # no training
    comparison = copied(done, tmp_path)
    path = comparison.folder / "faithful" / "report.html"

    def again() -> int:
        found = faithful_facts(done.own, done.experiment, done.bars, comparison)
        assert found["page"] == str(path)
        assert path.read_text(encoding="utf-8") == page
        return path.stat().st_mtime_ns

    before = path.stat().st_mtime_ns
    assert again() == before
    path.write_text("edited", encoding="utf-8")
    when = again()
    assert when > before
    path.unlink()
    assert again() > when
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "AAPL.json", "AAPL.onnx", "report.html"
    ]  # fmt: skip


def test_without_the_course_of_its_training_it_is_trained_again(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TrainedError(Exception):
        pass

    def train(*_: object) -> None:
        raise TrainedError

    monkeypatch.setattr(fit, "fit_task", train)
    comparison = copied(done, tmp_path)
    path = comparison.folder / "faithful" / "AAPL.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["seal"], content["learning"]
    path.write_text(canonical_json(content | {"seal": digest(canonical_json(content))}))
    with pytest.raises(TrainedError):
        faithful_facts(done.own, done.experiment, done.bars, comparison)


FIGURES = {
    "field": "mid", "horizon": 50, "target": "close", "total_return": None, "sharpe": None,
    "forecast": {"rmse": 1.5, "naive_rmse": 1.0, "theils_u": 1.5, "mase": None}, "up_calls": 0.5,
    "traded": {"calls": 9, "accuracy": 0.5, "base_rate": 0.6},
    "label": {"calls": 9, "accuracy": None, "base_rate": None},
}  # fmt: skip


def made_up(done: Done, symbols=("TEST",), columns=ROLLOUT, flaws=None, head="forecast"):
    """Return what `render_faithful` takes of a run that never was."""
    experiment = done.experiment.model_dump(mode="json") | {"symbols": list(symbols)}
    drawn = {symbol: pictures(columns) for symbol in symbols} if head == "forecast" else {}
    epoch = {"number": 1, "loss": 0.7, "validation_loss": 0.8}
    bars = done.facts["symbols"]["AAPL"]["bars"]
    own = FIGURES if drawn else FIGURES | {"forecast": None}
    part = {"honest": own, "own": own, "bars": bars}
    part |= {"learning": {"history": [epoch], "best_epoch": 1, "course": None}}
    content = {
        "experiment": experiment,
        "training": done.facts["faithful"]["training"],
        "head": head,
        "flaws": flaws or {},
        "symbols": {s: part | {"forecasts": facts(drawn[s]) if drawn else None} for s in symbols},
    }
    for shown in content["symbols"].values():
        if shown["forecasts"]:
            del shown["forecasts"]["quality"]["average"]
    return content, drawn


def test_a_rollout_has_a_fan_and_its_error_by_step(done: Done) -> None:
    page = render_faithful(*made_up(done))
    for name in ("truth-0-0", "steps-0-0", "fan-0-0", "epochs-0"):
        assert f'id="forecast-{name}"' in page
    steps, _ = figure(page, "forecast-steps-0-0")
    assert [line["name"] for line in steps] == ["Tutorial's own form", "Today's price again"]
    assert 'id="forecast-fan' not in render_faithful(*made_up(done, columns=LINE))


def test_a_form_without_prices_has_a_table_and_a_loss_curve(done: Done) -> None:
    page = render_faithful(*made_up(done, head="direction"))
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert [name for name in ids if re.match(r"loss|forecast", name)] == ["loss-0"]
    (table,) = (table for table in parsed.tables if table[0][0] == "Figure")
    assert len(table) == 8
    assert "RMSE" not in parsed.text
    assert "ln 2" in parsed.text


def test_what_the_own_form_was_worth_in_words() -> None:
    better = FIGURES | {"sharpe": 0.75, "up_calls": 1.0}
    honest = FIGURES | {"sharpe": 0.5, "forecast": FIGURES["forecast"] | {"theils_u": 1.04}}
    said = worth_text({"honest": honest, "own": better})
    assert said.startswith("The own form calls up on every bar. The error of the own form is 1.50")
    assert "the honest one 1.04 times. Its Sharpe ratio is 0.25 higher." in said
    down = FIGURES | {"up_calls": 0.0, "forecast": None}
    both = worth_text({"honest": down, "own": down})
    assert both.startswith("Both forms call down on every bar, so right calls say nothing. This is")


def test_what_is_not_wrong_is_not_said(done: Done) -> None:
    plain = render_faithful(*made_up(done))
    assert NO_LEAK in Page(plain).text
    assert '<section class="verdict quiet"' in plain
    assert "validation part is the test" not in plain
    steered = render_faithful(*made_up(done, flaws={"validation-is-test": "it sees the test"}))
    assert NO_LEAK not in Page(steered).text
    assert '<section class="verdict down"' in steered
    assert "<dt>known flaw</dt><dd>1</dd>" in steered
    assert "The validation part is the test." in steered
    assert "Its validation bars are those of the test" in steered


def test_a_run_without_a_recipe_names_none(done: Done) -> None:
    content, drawn = made_up(done)
    content["experiment"]["origin"] = {"recipe": None, "search": None}
    page = render_faithful(content, drawn)
    assert 'id="origin"' not in page
    assert "recipe" not in Page(page).text


def test_equal_input_gives_equal_bytes_and_a_whole_page(done: Done) -> None:
    content, drawn = made_up(done, symbols=("TEST", "M&M"))
    page = render_faithful(content, drawn)
    assert render_faithful(content, drawn) == page
    turned = content | {"symbols": dict(reversed(content["symbols"].items()))}
    assert render_faithful(turned, drawn) == page
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    links = {attrs["href"] for tag, attrs in parsed.tags if tag == "a"}
    assert links - {f"#{name}" for name in ids} == {"../report.html"}
    assert not any("src" in attrs for _, attrs in parsed.tags)
    assert not re.search(r"https?:|@import|url\(", own_text(page))
    assert not re.search(r"\b(nan|inf|None|undefined)\b", parsed.text)
    assert page.count(get_plotlyjs()) == 1
    heads = re.findall(r"<h2 .*?>(.*?)</h2>", own_text(page))
    assert heads == ["What is known to be wrong", "TEST", "M&amp;M", "How it was trained"]


def test_everything_is_escaped(done: Done) -> None:
    bad = [f"</script><img src=x onerror=alert({i})>&amp;" for i in range(8)]
    content, drawn = made_up(done, symbols=(bad[0],), flaws={bad[1]: bad[2]})
    content["experiment"]["origin"]["recipe"] = {
        "name": bad[3], "title": bad[4], "source": bad[5], "notes": [bad[6]],
        "changes": {bad[6]: bad[6]},
    }  # fmt: skip
    content["symbols"][bad[0]]["own"] = FIGURES | {"field": bad[7]}
    parsed = Page(render_faithful(content, drawn))
    assert "img" not in {tag for tag, _ in parsed.tags}
    for text in bad:
        assert text in parsed.text
