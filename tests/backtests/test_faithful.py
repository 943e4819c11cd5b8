"""A tutorial's own form beside the honest one: figures by hand, found again, and no verdict."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests import faithful
from nextbar.backtests.faithful import Case, _note_look, faithful_facts
from nextbar.backtests.faithful_words import NO_VERDICT
from nextbar.backtests.recipe_tables import faithful_table
from nextbar.backtests.trials import trials_by_now
from nextbar.signals import load_model
from nextbar.signals.bars import COLUMNS
from nextbar.signals.chain import load_chain
from nextbar.signals.errors import BarsError
from nextbar.signals.ledger import read_trials
from nextbar.training import TrainingConfig
from rich.console import Console

from ..simulations.recipes import habits, tables
from .faithful_runs import RECIPE, Done, command, copied, faithful_run

# keras 3.15 reads its variables with numpy 1's `__array__`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return faithful_run(tmp_path_factory.getbasetemp())


def test_the_own_form_is_trained_as_the_tutorial_does(done: Done) -> None:
    model = load_model(done.comparison.folder / "faithful" / "AAPL.onnx")
    assert model.card.known_flaws == RECIPE.faithful.flaws  # type: ignore[union-attr]
    assert model.card.target == "close"
    # The scaling has seen the test, and the card says so.
    assert pd.Timestamp(model.card.train_end) >= pd.Timestamp(done.experiment.test_start)
    assert done.facts["faithful"]["training"] == done.own.model_dump(mode="json")
    assert set(done.facts["faithful"]["flaws"]) == set(done.own.flaws)


def test_its_figures_by_hand(done: Done) -> None:
    frame, start = done.bars["AAPL"], done.start
    bars = frame[list(COLUMNS)].to_numpy(np.float64)
    forms = done.facts["faithful"]["symbols"]["AAPL"]
    model = load_model(done.comparison.folder / "faithful" / "AAPL.onnx")
    close, open_ = frame["close"].to_numpy(), frame["open"].to_numpy()
    said = model.forecast(bars)[start - 9 :, 0]
    own = forms["own"]
    error = said[:-1] - close[start + 1 :]
    assert own["forecast"]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    naive = np.sqrt(np.mean((close[start:-1] - close[start + 1 :]) ** 2))
    assert own["forecast"]["naive_rmse"] == pytest.approx(naive)
    scale = np.mean(np.abs(np.diff(close[:start])))
    assert own["forecast"]["mase"] == pytest.approx(np.mean(np.abs(error)) / scale)
    call = np.sign(said - close[start:])
    rose = close[start + 1 :] > close[start:-1]
    assert own["label"]["accuracy"] == pytest.approx(np.mean((call[:-1] > 0) == rose))
    assert own["label"]["base_rate"] == pytest.approx(max(rose.mean(), 1 - rose.mean()))
    earned = open_[start + 2 :] > open_[start + 1 : -1]
    assert own["traded"]["accuracy"] == pytest.approx(np.mean((call[:-2] > 0) == earned))

    chain = load_chain(done.comparison.folder / "models" / "AAPL" / "lstm")
    said = chain.forecast(bars, pd.DatetimeIndex(frame.index))[start:]
    honest = forms["honest"]
    error = said[:-1, 0] - open_[start + 1 :]
    assert honest["forecast"]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    # Of the next open the close is known already: that is the naive forecast.
    naive = np.sqrt(np.mean((close[start:-1] - open_[start + 1 :]) ** 2))
    assert honest["forecast"]["naive_rmse"] == pytest.approx(naive)
    right = (said[:-2, 1] > said[:-2, 0]) == earned
    assert honest["traded"]["accuracy"] == pytest.approx(np.mean(right))
    assert honest["label"] == honest["traded"]  # its label is the move that is traded
    assert honest["sharpe"] == done.facts["symbols"]["AAPL"]["strategies"]["lstm"]["sharpe"]


def test_its_returns_by_hand(done: Done, tmp_path: Path) -> None:
    """Long at the open after an up call, flat after a down call, whole shares, costs paid.

    On bars that the model was trained on: the calls are made all the same.
    """
    frame, start, experiment = done.bars["AAPL"], done.start, done.experiment
    own = TrainingConfig(
        head="forecast", features=("return", "gap"), target="close", window=10, units=(4,),
        epochs=3, fields=("close",), flaws=("scaler-on-all-data",),
    )  # fmt: skip
    comparison = copied(done, tmp_path)
    facts = faithful_facts(own, experiment, done.bars, comparison)
    model = load_model(comparison.folder / "faithful" / "AAPL.onnx")
    assert pd.Timestamp(model.card.train_end) >= pd.Timestamp(experiment.test_start)
    score = model.score(frame[list(COLUMNS)].to_numpy(np.float64))[start - 9 :]
    assert set(np.sign(score)) == {-1.0, 1.0}
    cash, held, wanted = experiment.cash, 0.0, 0.0
    equity: list[float] = []
    fee = experiment.cost_bps / 1e4
    for score_now, row in zip(score, frame.iloc[start:].itertuples(), strict=True):
        change = wanted - held
        if change:
            cash -= change * row.open + abs(change) * row.open * fee
            held = wanted
        value = cash + held * row.close
        equity.append(value)
        if (score_now > 0) != (held > 0):
            wanted = value * experiment.target // row.close if score_now > 0 else 0.0
    found = facts["symbols"]["AAPL"]["own"]["total_return"]
    assert found == pytest.approx(equity[-1] / equity[0] - 1)
    assert found != 0


def stored(done: Done) -> Any:
    return json.loads((done.comparison.folder / "results.json").read_text(encoding="utf-8"))


def test_it_enters_no_verdict(done: Done) -> None:
    assert "faithful" not in stored(done)
    assert stored(done)["experiment"]["training"]["flaws"] == []


def test_a_look_at_the_test_is_a_trial(done: Done) -> None:
    honest, own = read_trials(done.runs / "ledger.jsonl")
    assert honest["kind"] == own["kind"] == "comparison"
    assert honest["config"] != own["config"]
    assert own["test_start"] == honest["test_start"]
    assert own["sharpe"] is None, "of a flawed form it says nothing of how honest ones differ"
    name = stored(done)["hash"]
    assert trials_by_now(done.experiment, done.bars, name, done.runs) == 2
    assert stored(done)["trials"] == 1, "what was known when the verdict was made"


def test_a_look_at_other_costs_is_another_trial(done: Done, tmp_path: Path) -> None:
    comparison = copied(done, tmp_path)
    ledger = comparison.folder.parent / "ledger.jsonl"
    dear = done.experiment.model_copy(update={"cost_bps": 9.0})
    for experiment, trials in ((done.experiment, 2), (dear, 3), (dear, 3)):
        case = Case(done.own, experiment, done.bars["AAPL"], comparison.folder)
        _note_look(case, None)
        assert len(read_trials(ledger)) == trials


def test_an_error_names_symbol_and_form(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(*_: object) -> None:
        raise BarsError("too few.")

    monkeypatch.setattr(faithful, "_finished", lambda _: None)
    monkeypatch.setattr(faithful, "_made", few)
    with pytest.raises(BarsError, match=r"^AAPL, the tutorial's own form: too few\.$"):
        faithful_facts(done.own, done.experiment, done.bars, copied(done, tmp_path))


def test_it_is_found_finished_unless_something_changed(done: Done, tmp_path: Path) -> None:
    runs = shutil.copytree(done.runs, tmp_path / "runs")
    (folder,) = (path.parent for path in runs.glob("*/results.json"))
    model, figures = (folder / "faithful" / f"AAPL.{end}" for end in ("onnx", "json"))
    before = model.stat().st_mtime_ns, figures.read_bytes()

    def again() -> tuple[int, bytes]:
        found = json.loads(command(runs, "--json"))["faithful"]
        page = folder / "faithful" / "report.html"
        assert found == done.facts["faithful"] | {"page": str(page)}
        return model.stat().st_mtime_ns, figures.read_bytes()

    assert again() == before
    content = json.loads(figures.read_text(encoding="utf-8"))
    content["figures"]["sharpe"] = 9.0
    figures.write_text(json.dumps(content))
    when, text = again()
    assert when > before[0]
    assert text == before[1]  # byte for byte what it was
    model.write_bytes(model.read_bytes() + b" ")
    assert again()[1] == before[1]


def test_it_is_printed(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command(done.runs)
    _, *beside, where = shown.split("Found finished")[1].splitlines()
    assert max(map(len, beside)) <= 80
    page = done.comparison.folder / "faithful" / "report.html"
    assert where == f"With pictures: {page}"
    assert done.facts["faithful"]["page"] == str(page)
    assert "…" not in "".join(beside)
    text = " ".join(shown.split())
    own = done.facts["faithful"]["symbols"]["AAPL"]["own"]
    for part in (
        f"{own['forecast']['rmse']:.4g}",
        f"{own['label']['accuracy']:.1%}",
        "Honest: next open; calls 1 bar from the next open.",
        "Own: next close; calls 1 bar from this bar's close, before any order.",
        *(f"Flaw {name}: {meaning}." for name, meaning in done.facts["faithful"]["flaws"].items()),
        *(f"The tutorial: {note}" for note in RECIPE.notes),
        NO_VERDICT,
    ):
        assert part in text


def test_the_page_of_recipes_is_made_of_it(done: Done) -> None:
    calls = habits(done.facts, "AAPL")
    facts = done.facts | {"habits": calls}
    honest, own = tables({"stacked-10": facts}, "AAPL").strip().split("\n\n")
    for part, figures in ((honest, "honest"), (own, "own")):
        lines = part.splitlines()
        assert len(lines) == 3
        assert {line.count("|") for line in lines} == {lines[0].count("|")}
        found = done.facts["faithful"]["symbols"]["AAPL"][figures]
        assert f"| {found['forecast']['rmse']:.3g} |" in lines[2]
        assert f"| {found['traded']['accuracy']:.1%} |" in lines[2]
    assert done.facts["evidence"]["verdict"]["sentence"] in honest
    shown = f"| {calls['correlation']:+.2f} | {calls['before']:.0%} | {calls['from']:.0%} |"
    assert shown in honest


@pytest.mark.parametrize("head", ["direction", "position"])
def test_other_heads_have_no_errors_of_prices(head: str, done: Done, tmp_path: Path) -> None:
    own = TrainingConfig(
        head=head, window=8, units=(4,), epochs=1, horizon=2, flaws=("unpurged-horizon",)
    )
    facts = faithful_facts(own, done.experiment, done.bars, copied(done, tmp_path))
    figures = facts["symbols"]["AAPL"]["own"]
    assert figures["forecast"] is None
    assert figures["traded"] == figures["label"]
    assert figures["total_return"] is not None
    page = Path(facts["page"]).read_text(encoding="utf-8")
    assert 'id="loss-0"' in page
    assert 'id="forecast' not in page
    facts["symbols"]["AAPL"]["honest"]["forecast"] = None
    table = faithful_table("AAPL", facts["symbols"]["AAPL"])
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    assert "RMSE" not in console.export_text()
