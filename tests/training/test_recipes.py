"""The tutorials' systems: read, trained, exported and asked for calls."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.signals import load_model, sample_bars
from nextbar.signals.bars import COLUMNS
from nextbar.signals.errors import ExperimentError
from nextbar.signals.heads import CENTRES
from nextbar.training import TrainingConfig, train
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.flaws import sees_test
from nextbar.training.recipes import Recipe, read_recipe, recipe_named, recipes

ROOT = Path(__file__).parents[2]
RECIPES = recipes()
NAMES = [recipe.name for recipe in RECIPES]

FLAWS = {
    "averages": None,
    "bidirectional-60": (),
    "classical": None,
    "convolutional-60": (),
    "midprice-rollout": ("validation-is-test", "label-is-input"),
    "open-close": (),
    "open-high-60": ("scaler-on-all-data",),
    "search": None,
    "stacked-10": ("scaler-on-all-data", "row-against-one-output", "relu-head"),
    "stacked-60": (),
    "updown-30": ("validation-is-test", "unpurged-horizon"),
    "vanilla-60": (),
}
"""The mistakes that each tutorial's own form makes; None where there is no such form."""


def small(config: TrainingConfig) -> TrainingConfig:
    """Return the same kind of training, narrow and short enough to be tried in seconds."""
    changes = {
        "units": (4,) * (2 if config.rollout else 1),
        "window": 12,
        "horizon": min(config.horizon, 3),
        "epochs": 3,
        "batch_size": 64,
        "learning_rate": 0.01,  # untrained, it may foretell prices below 0, which is refused
    }
    return TrainingConfig.model_validate(config.model_dump() | changes)


def check_trains(recipe: Recipe, config: TrainingConfig, bars: pd.DataFrame, path: Path) -> None:
    """Train on the recipe's own split; what comes out keeps its certificate and makes calls."""
    fold = recipe.fold(pd.DatetimeIndex(bars.index))
    trained = train(
        bars,
        config,
        path,
        validation_start=pd.Timestamp(fold.validation_start),
        test_start=pd.Timestamp(fold.test_start),
    )
    model = load_model(path)
    assert model.card.certificate.max_difference <= 1e-5
    assert model.card.certificate.flipped_calls == 0
    assert model.card.known_flaws == config.flaws
    later = bars.index >= pd.Timestamp(fold.test_start)
    seen = pd.Timestamp(model.card.train_end) >= bars.index[later][0]
    assert seen == sees_test(config)
    score = model.score(bars[list(COLUMNS)].to_numpy(np.float64))[-int(later.sum()) :]
    assert np.isfinite(score).all()
    assert set(np.sign(score - CENTRES[config.says])) <= {-1.0, 0.0, 1.0}
    if config.columns:
        prices = model.forecast(bars[list(COLUMNS)].to_numpy(np.float64))
        assert prices.shape == (len(bars) - config.window + 1, len(config.columns))
        assert np.isfinite(prices).all()
    assert len(trained.history) == config.epochs


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return sample_bars("AAPL").iloc[-900:]


OWN_BY_DEFAULT = {"midprice-rollout", "stacked-10"}
"""Forms with the most of their own; the others are tried with the slow tests."""


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_recipe_trains_and_makes_calls(
    recipe: Recipe, history: pd.DataFrame, tmp_path: Path
) -> None:
    check_trains(recipe, small(recipe.walk_forward), history, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(r, id=r.name, marks=() if r.name in OWN_BY_DEFAULT else pytest.mark.slow)
        for r in RECIPES
        if r.faithful
    ],
)
def test_a_tutorials_own_form_trains_and_names_its_flaws(
    recipe: Recipe, history: pd.DataFrame, tmp_path: Path
) -> None:
    assert recipe.faithful is not None
    check_trains(recipe, small(recipe.faithful), history, tmp_path / "m.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_recipe_trains_as_it_is(recipe: Recipe, tmp_path: Path) -> None:
    bars = sample_bars("AAPL").iloc[-1500:]
    for i, config in enumerate((recipe.full, recipe.faithful)):
        if config is not None:
            once = config.model_copy(update={"epochs": 1})
            check_trains(recipe, once, bars, tmp_path / f"{i}.onnx")


def test_recipes_are_what_the_tutorials_are() -> None:
    assert {recipe.name: recipe.faithful and recipe.faithful.flaws for recipe in RECIPES} == FLAWS
    for recipe in RECIPES:
        assert recipe.full.flaws == recipe.walk_forward.flaws == ()
        assert recipe.full.target == recipe.walk_forward.target == "open"
        assert recipe.notes
        assert all(note.endswith(".") for note in recipe.notes)
        for config in (recipe.full, recipe.walk_forward):
            assert config.smooth is None
            assert config.blocks == 1
        if recipe.faithful is not None:
            assert recipe.faithful.target == "close"  # the label of all of them
    rolled = recipe_named("midprice-rollout")
    assert rolled.faithful is not None
    for config in (rolled.full, rolled.faithful):
        assert config.columns == tuple(("mid", ahead) for ahead in range(1, 51))
    assert (rolled.faithful.smooth, rolled.faithful.blocks) == (0.1, 5)


def test_no_early_stopping_where_the_tutorial_has_none() -> None:
    for name in ("stacked-10", "stacked-60", "bidirectional-60", "open-high-60"):
        full = recipe_named(name).full
        assert (full.epochs, full.batch_size, full.patience) == (100, 32, None)
        assert recipe_named(name).walk_forward.patience is not None


def test_the_books_second_layer_has_20200_weights() -> None:
    repeatable_tensorflow()
    from nextbar.training.networks import build_network

    network = build_network(recipe_named("open-close").full)
    second = [layer for layer in network.layers if hasattr(layer, "cell")][1]
    assert second.count_params() == 20_200
    assert network.get_layer("head").count_params() == 4 * (50 + 1)  # two fields, entry and exit


def test_the_stacked_network_has_the_weights_that_its_notes_say() -> None:
    repeatable_tensorflow()
    from nextbar.training.networks import build_network

    recipe = recipe_named("stacked-60")
    assert recipe.faithful is not None
    network = build_network(recipe.faithful)
    trained = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert f"{trained:,} weights" in recipe.notes[0]


@given(n=st.integers(400, 5000), name=st.sampled_from(NAMES))
def test_the_own_split_is_in_proportion(n: int, name: str) -> None:
    recipe = recipe_named(name)
    dates = pd.bdate_range("1990-01-01", periods=n)
    if n < 700:  # too few for some
        with suppress(ExperimentError):
            recipe.fold(dates)
        return
    fold = recipe.fold(dates)
    test = int(dates.searchsorted(pd.Timestamp(fold.test_start)))
    check = test - int(dates.searchsorted(pd.Timestamp(fold.validation_start)))
    assert test == round(n * recipe.split)
    assert check >= test // 10 - 1
    config = recipe.faithful or recipe.full
    # Rows are left in both parts once those whose label ends too late are gone.
    assert check - config.horizon - config.augment - 2 >= 30


def test_a_short_history_is_refused() -> None:
    with pytest.raises(ExperimentError, match="230 dates are too few for its own split"):
        recipe_named("midprice-rollout").fold(pd.bdate_range("2020-04-01", periods=230))


def test_a_mistyped_name_gets_the_nearest() -> None:
    with pytest.raises(ExperimentError, match=r"'staked-60'\. Did you mean 'stacked-60'\?"):
        recipe_named("staked-60")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[training]", "[training]\nflaws = ['relu-head']"), "flaws belong into the table"),
        (("[training]", "[training]\nepoch = 3"), "full.epoch: "),
        (("title =", "titel ="), "title"),
        (("folds = 3\n", ""), "no recipe: 'folds'"),
        (("[faithful]", "[faithful]\nblocks = -1"), "faithful.blocks: "),
        (("split = 0.7", "split = 1.7"), "split: "),
        (("[faithful]", "[faithful"), "no recipe: "),
    ],
)
def test_a_wrong_file_is_refused_in_a_line(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    text = (ROOT / "training" / "recipes" / "stacked-60.toml").read_text(encoding="utf-8")
    assert change[0] in text
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert read_recipe(path).name == "mine"
    path.write_text(text.replace(*change))
    with pytest.raises(ExperimentError, match=re.escape(message)) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


def test_recipes_are_installed_and_bring_nothing_heavy() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (pattern,) = config["tool"]["setuptools"]["package-data"]["nextbar.training"][1:]
    found = {path.stem for path in (ROOT / "training").glob(pattern)}
    assert found == set(NAMES) == set(FLAWS)
    code = (
        "import sys; from nextbar.training.recipes import recipes; recipes();"
        "print({'keras', 'tensorflow', 'optuna', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
