"""`nextbar recipes` and `nextbar compare --recipe`: what is shown, overridden and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nextbar.backtests.cli import app
from nextbar.backtests.plan import Plan, experiment_of
from nextbar.backtests.recipe_plan import on_own_split, recipe_fields, with_recipe
from nextbar.signals import sample_bars
from nextbar.signals.errors import ExperimentError
from nextbar.signals.ledger import read_trials
from nextbar.training.flaws import KNOWN_FLAWS
from nextbar.training.recipes import Recipe, recipe_named, recipes
from typer.testing import CliRunner

from ..models import write_model

# keras 3.15 reads its variables with numpy 1's `__array__`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = ("--epochs", 1, "--units", 4, "--window", 12, "--workers", 1)
COMPARE = ("compare", "--csv", "AAPL.csv")


def invoke(*args: object) -> Any:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def ok(*args: object) -> str:
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*args: object) -> str:
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    sample_bars("AAPL").iloc[-900:].to_csv("AAPL.csv")
    return tmp_path


def test_recipes_are_listed(here: Path) -> None:
    table = ok("recipes")
    assert max(map(len, table.splitlines())) <= 80
    found = json.loads(ok("recipes", "--json"))
    assert [row["name"] for row in found] == [recipe.name for recipe in recipes()]
    for row in found:
        assert row["name"] in table
        assert Recipe.model_validate(row) == recipe_named(row["name"])


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_all_of_a_recipe_is_shown(recipe: Recipe, here: Path) -> None:
    shown = " ".join(ok("recipes", recipe.name).split())
    for text in (recipe.title, recipe.source, *recipe.notes, *recipe.rivals):
        assert text in shown
    assert f"folds {recipe.folds} seeds {recipe.seeds}" in shown
    assert ("(--faithful)" in shown) == (recipe.faithful is not None)
    assert ("Searched before" in shown) == (recipe.search is not None)
    for flaw in recipe.faithful.flaws if recipe.faithful else ():
        assert f"{flaw}: {KNOWN_FLAWS[flaw].meaning}." in shown
    assert json.loads(ok("recipes", recipe.name, "--json"))["name"] == recipe.name


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("recipes", "stacked60"), "Did you mean 'stacked-60'?"),
        ((*COMPARE, "--recipe", "stacked60"), "Did you mean 'stacked-60'?"),
        ((*COMPARE, "--full"), "--full is for a tutorial's recipe: name one with --recipe"),
        ((*COMPARE, "--faithful"), "--faithful is for a tutorial's recipe"),
        (
            (*COMPARE, "--recipe", "averages", "--faithful"),
            "recipe averages has no form of the tutorial's own to show",
        ),
        ((*COMPARE, "--recipe", "classical", "--faithful"), "classical has no form"),
        ((*COMPARE, "--recipe", "search", "--faithful"), "search has no form"),
        (
            (*COMPARE, "--recipe", "stacked-60", "--full", "--folds", 2),
            "--folds lays folds out, and --full takes the recipe's own, single split",
        ),
        (
            (*COMPARE, "--recipe", "stacked-60", "--faithful", "--first-test", "2012-01-01"),
            "--first-test lays folds out, and --faithful takes",
        ),
        ((*COMPARE, "--recipe", "stacked-60", "--model", "m.onnx"), "leave --model out"),
        (
            (*COMPARE, "--recipe", "stacked-10", "--faithful", "--setting", "flaws=none"),
            "what the tutorial's mistakes were worth is what --faithful shows",
        ),
        (
            (*COMPARE, "--recipe", "averages", "--setting", "head=direction"),
            "What a recipe says is changed with --setting NAME=VALUE.",
        ),
        ((*COMPARE, "--recipe", "stacked-60", "--trials", 3), "--trials is for a search"),
        ((*COMPARE, "--storage", "sqlite:///s.db"), "--storage is for a search"),
        (
            ("compare", "plan.toml", "--recipe", "stacked-60"),
            "--recipe: an experiment file holds all settings",
        ),
        (("compare", "--symbols", "plan.toml,AAPL"), "name one experiment file alone"),
        (
            (*COMPARE, "--recipe", "midprice-rollout", "--features", "open,high"),
            "rollout feeds a forecast back",
        ),
        (
            ("compare", "AAPL", "--symbols", "AAPL,MSFT", "--recipe", "stacked-60"),
            "AAPL is named twice",
        ),
        (
            ("compare", "AAPL", "--start", "2012-10-15", "--recipe", "stacked-60", "--full"),
            "too few for its own split",
        ),
    ],
)
def test_contradictions_are_refused_in_a_line(
    args: tuple[object, ...], message: str, here: Path
) -> None:
    assert message in refused(*args)
    assert not (here / "runs").exists()


def test_symbols_come_from_both_places(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without training: the plan is what is looked at."""
    from nextbar.backtests import compare_command

    made: list[Plan] = []
    monkeypatch.setattr(compare_command, "_compare", lambda plan, *_: made.append(plan))
    base = ("--recipe", "stacked-60")
    ok("compare", "ibm", "--symbols", "aapl, msft", "--symbols", "GOOG", *base, "--seeds", 3)
    ok("compare", "IBM", *base, "--cost-bps", 1, "--epochs", 7, "--folds", 2, "--name", "mine")
    ok("compare", "IBM", "--epochs", 7)
    dials = ("--setting", "units=8, 8", "--setting", "patience=none", "--setting", "augment=0")
    ok("compare", "IBM", *base, *dials, "--rivals", "knn, arima")
    first, second, plain, dialled = made
    recipe = recipe_named("stacked-60")
    assert first.symbols == ("IBM", "AAPL", "MSFT", "GOOG")
    assert (first.name, first.folds, first.seeds) == ("stacked-60", recipe.folds, 3)
    assert first.training == recipe.walk_forward
    assert second.training == recipe.walk_forward.model_copy(update={"epochs": 7})
    assert (second.cost_bps, second.folds, second.name) == (1.0, 2, "mine")
    assert plain == Plan(symbols=("IBM",), training={"epochs": 7})
    changes = {"units": (8, 8), "patience": None, "augment": 0}
    assert dialled.training == recipe.walk_forward.model_copy(update=changes)
    assert dialled.rivals == ("knn", "arima")


def test_what_was_typed_beside_a_recipe_is_told() -> None:
    recipe, bars = recipe_named("stacked-60"), {"IBM": sample_bars("IBM")}
    for full in (False, True):
        plan = Plan(symbols=("IBM",), **recipe_fields(recipe, full=full))
        plan = on_own_split(plan, recipe, bars) if full else plan
        told = with_recipe(experiment_of(plan, bars), recipe, plan).origin.recipe
        assert told is not None
        assert (told.name, told.changes) == (recipe.name, {})
        typed = plan.training.model_copy(update={"epochs": 3, "seed": 1})
        plan = plan.model_copy(update={"training": typed})
        told = with_recipe(experiment_of(plan, bars), recipe, plan).origin.recipe
        assert told is not None
        assert told.changes == {"epochs": 3, "seed": 1}
        assert "but for what was typed: " in told.sentence


def test_full_is_the_tutorials_own_split() -> None:
    recipe, bars = recipe_named("stacked-60"), sample_bars("AAPL")
    plan = on_own_split(Plan(**recipe_fields(recipe, full=True)), recipe, {"AAPL": bars})
    assert (plan.name, plan.seeds, plan.training) == ("stacked-60-full", 1, recipe.full)
    assert isinstance(plan.folds, tuple)
    (fold,) = plan.folds
    test = int(bars.index.searchsorted(pd.Timestamp(fold.test_start)))
    assert test == round(len(bars) * 172 / 230)
    assert abs(int((bars.index[:test] >= str(fold.validation_start)).sum()) - test // 10) <= 1


def test_a_rival_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from nextbar.backtests import recipe_plan

    recipe = recipe_named("classical")
    monkeypatch.setattr(recipe_plan, "find_spec", lambda _: None)
    assert recipe_fields(recipe, full=False)["rivals"] == ("average", "linear", "knn", "arima")
    monkeypatch.setattr(recipe_plan, "find_spec", lambda name: name)
    assert recipe_fields(recipe, full=False)["rivals"] == recipe.rivals


def test_averages_join_the_table(here: Path) -> None:
    shown = ok(*COMPARE, "--recipe", "averages", *SMALL, "--folds", 1, "--seeds", 1)
    assert "Mean of 100" in shown
    assert "EMA forecast" in shown
    assert "proof" not in shown
    assert f"The tutorial: {recipe_named('averages').notes[0][:40]}" in shown


SEARCHED = """
schema = 2
csv = ["AAPL.csv"]
folds = 2
seeds = 1
[training]
epochs = 1
window = 12
units = [4]
[search]
trials = 2
layers = []
units = []
cell = []
window = []
dropout = []
optimizer = []
"""


def test_a_search_goes_before_the_comparison(here: Path) -> None:
    (here / "plan.toml").write_text(SEARCHED)
    args = ("compare", "plan.toml", "--workers", 1)
    found = json.loads(ok(*args, "--json"))
    search = found["experiment"]["origin"]["search"]
    assert len(search["trials"]) == 2
    best = search["trials"][search["number"]]
    assert best["params"] == {
        "learning_rate": found["experiment"]["training"]["learning_rate"],
    }
    assert best["value"] == min(trial["value"] for trial in search["trials"])
    assert best["value"] == search["validation_loss"]
    noted = read_trials(here / "runs" / "ledger.jsonl")
    assert [trial["kind"] for trial in noted] == ["training", "training", "comparison"]
    assert (here / "runs" / "search.db").exists()
    again = ok(*args)  # finds both finished
    assert "Found finished" in again
    assert "of 2 trials number" in " ".join(again.split())
    assert len(read_trials(here / "runs" / "ledger.jsonl")) == 3


def test_a_search_is_kept_where_it_is_told(here: Path) -> None:
    (here / "plan.toml").write_text(SEARCHED.replace("trials = 2", "trials = 1"))
    args = ("compare", "plan.toml", "--workers", 1, "--json", "--storage", "sqlite:///mine.db")
    assert "mine.db" not in ok(*args)
    assert (here / "mine.db").exists()
    assert not (here / "runs" / "search.db").exists()
    # Another folder of runs, the same storage: its own ledger counts the same trials.
    ok(*args, "--runs", "others")
    one, other = (
        [trial["id"] for trial in read_trials(here / runs / "ledger.jsonl")]
        for runs in ("runs", "others")
    )
    assert one == other
    assert len(one) == 2


def test_a_given_model_is_not_searched(here: Path) -> None:
    write_model(here / "m.onnx", 12, symbols=("AAPL",))
    text = SEARCHED.replace("folds = 2\nseeds = 1\n", "folds = 1\nmodel = 'm.onnx'\n")
    without = re.sub(r"\[training\].*?(?=\[search\])", "", text, flags=re.DOTALL)
    (here / "plan.toml").write_text(without)
    assert "a given model has its settings" in refused("compare", "plan.toml")


def test_what_a_search_sees_ends_before_the_first_test(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nextbar.training import tune

    asked: list[Any] = []

    def stop(*args: Any, **_: Any) -> None:
        asked.extend(args)
        raise ExperimentError("far enough.")

    monkeypatch.setattr(tune, "search", stop)
    search = ("--recipe", "search", "--folds", 3, "--trials", 7)
    assert "far enough" in refused("compare", "--symbols", "IBM,AAPL", *search)
    bars, training, folds, space, folder = asked
    assert bars.attrs["symbol"] == "IBM"
    assert training == recipe_named("search").walk_forward
    assert len(folds) == 1
    assert folds[0].test_start.year < 2006  # of 1999 to 2013
    assert space.trials == 7
    assert folder == Path("runs")


def test_the_search_has_one_writer(here: Path) -> None:
    from filelock import FileLock

    (here / "runs").mkdir()
    with FileLock(here / "runs" / ".search.db.lock"):
        line = refused(*COMPARE, "--recipe", "search", *SMALL, "--folds", 1)
    assert "another run is writing here" in line


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_is_compared(recipe: Recipe, here: Path) -> None:
    # Enough bars where the test is the validation part too, and enough epochs for sane prices.
    sample_bars("AAPL").iloc[-1900:].to_csv("AAPL.csv")
    args = (*COMPARE, "--recipe", recipe.name, *SMALL, "--epochs", 10, "--seeds", 1, "--json")
    own = ("--full", "--trials", 2) if recipe.search else ("--full",)
    found = json.loads(ok(*args, *(("--faithful",) if recipe.faithful else own)))
    assert found["evidence"]["verdict"]["sentence"]
    assert found["experiment"]["origin"]["recipe"]["name"] == recipe.name
    assert ("faithful" in found) == (recipe.faithful is not None)
