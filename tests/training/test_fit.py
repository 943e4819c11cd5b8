"""Training: what it may see, that it repeats exactly, and what it hands back."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.signals import load_model
from nextbar.signals.bars import COLUMNS, bars_digest
from nextbar.signals.errors import BarsError, ModelError
from nextbar.signals.windows import windows_of
from nextbar.training import TrainingConfig, fit, train
from nextbar.training.fit import Epoch, Trained
from nextbar.training.labels import direction_labels
from nextbar.training.splits import EMBARGO, Split, chronological_split

from ..markets import random_bars
from .conftest import SMALL, TEST_START, VALIDATION_START

ROOT = Path(__file__).parents[2]


def again(
    bars: pd.DataFrame, path: Path, config: TrainingConfig = SMALL, **changes: Any
) -> Trained:
    dates = {"validation_start": VALIDATION_START, "test_start": TEST_START}
    return train(bars, config, path, **(dates | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def parts(bars: pd.DataFrame, config: TrainingConfig = SMALL) -> tuple[Split, np.ndarray]:
    """Return the rows of the parts and all labels, as train should make them."""
    bars = bars[bars.index < TEST_START]
    labels = direction_labels(bars, config.horizon, config.target)
    split = chronological_split(
        labels,
        window=config.window,
        validation_start=pd.Timestamp(VALIDATION_START),
        test_start=pd.Timestamp(TEST_START),
    )
    return split, labels["up"].to_numpy()


# --- what it sees ----------------------------------------------------------------------------


def test_noise_in_the_test_period_changes_nothing(
    small: Trained, bars: pd.DataFrame, path: Path
) -> None:
    noise = random_bars(len(bars), seed=99, sigma=0.1)
    later = bars.index >= TEST_START
    assert later.sum() > 100
    other = bars.copy()
    other[later] = noise[later].to_numpy() * 5
    again(other, path)
    assert path.read_bytes() == small.path.read_bytes()


def test_no_test_period_changes_nothing(small: Trained, bars: pd.DataFrame, path: Path) -> None:
    again(bars[bars.index < TEST_START], path)
    assert path.read_bytes() == small.path.read_bytes()


def test_bars_before_do_change_the_file(small: Trained, bars: pd.DataFrame, path: Path) -> None:
    other = bars.copy()
    last = other.index[other.index < TEST_START][-1 - EMBARGO]
    other.loc[last, ["open", "high", "low", "close"]] *= 1.5
    changed = again(other, path)
    assert changed.card.rows_sha256 != small.card.rows_sha256


def test_the_bar_left_free_changes_nothing(small: Trained, bars: pd.DataFrame, path: Path) -> None:
    other = bars.copy()
    last = other.index[other.index < TEST_START][-1]
    other.loc[last, ["open", "high", "low", "close"]] *= 1.5
    again(other, path)
    assert path.read_bytes() == small.path.read_bytes()


def test_bars_before_the_start_change_nothing(bars: pd.DataFrame, path: Path) -> None:
    start = bars.index[100]
    again(bars, path, train_start=start)
    content = path.read_bytes()
    card = load_model(path).card
    assert card.train_start == str(start.date())
    other = bars.copy()
    other.iloc[:100] *= 1.5
    again(other, path, train_start=start)
    assert path.read_bytes() == content
    # The first of these rows has a whole window behind it, of bars from the start on.
    rows = bars[(bars.index >= start) & (bars.index <= card.train_end)]
    assert card.certificate.windows == len(rows) - SMALL.window + 1


def test_the_card_ends_with_the_last_label(small: Trained, bars: pd.DataFrame) -> None:
    seen = bars[bars.index < TEST_START].iloc[:-EMBARGO]
    card = small.card
    assert card.train_start == str(bars.index[0].date())
    assert card.train_end == str(seen.index[-1].date()) < TEST_START
    assert card.rows_sha256 == bars_digest(seen)
    assert (card.window, card.horizon, card.target) == (SMALL.window, 1, "open")
    assert card.features == SMALL.features
    assert card.architecture == "stacked 4"
    assert card.uses_volume is False
    assert load_model(small.path).card == card


def test_numbers_of_rows_and_base_rate(small: Trained, bars: pd.DataFrame) -> None:
    split, up = parts(bars)
    assert small.train_rows == len(split.train) > 300
    assert small.validation_rows == len(split.validation) > 100
    rate = up[split.validation].mean()
    assert small.validation_base_rate == pytest.approx(max(rate, 1 - rate))
    assert 0.5 <= small.validation_base_rate < 1


def test_scaling_comes_from_training_rows_only(bars: pd.DataFrame, path: Path) -> None:
    trained = again(bars, path)
    split, _ = parts(bars)
    x = {name: bars[name].to_numpy() for name in COLUMNS}
    before = np.concatenate([[np.nan], x["close"][:-1]])
    by_bar = np.log(
        np.stack([x["close"] / before, x["open"] / before, x["high"] / x["low"]], axis=1)
    )
    assert SMALL.features == ("return", "gap", "range")
    steps = windows_of(by_bar, SMALL.window - 1)[split.train - (SMALL.window - 2)].reshape(-1, 3)
    scaling = trained.network.get_layer("scaling")
    np.testing.assert_allclose(scaling.offset.numpy(), steps.mean(axis=0), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(scaling.scale.numpy(), steps.std(axis=0), rtol=1e-4)


def test_the_network_is_the_file(bars: pd.DataFrame, path: Path) -> None:
    trained = again(bars, path)
    values = bars.to_numpy()
    windows = windows_of(values.astype(np.float32), SMALL.window)
    expected = np.asarray(trained.network(windows))[:, 0]
    scores = load_model(path).score(values)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(trained.predict(windows, 100), expected, rtol=0, atol=1e-6)
    assert np.ptp(scores) > 0.01


# --- that it repeats -------------------------------------------------------------------------


def test_another_seed_gives_another_file(small: Trained, bars: pd.DataFrame, path: Path) -> None:
    other = again(bars, path, SMALL.model_copy(update={"seed": 1}))
    assert other.card.graph_sha256 != small.card.graph_sha256
    assert other.card.training_hash != small.card.training_hash


def test_what_was_trained_before_does_not_matter(
    small: Trained, bars: pd.DataFrame, tmp_path: Path
) -> None:
    others = (
        {"seed": 7},
        {"learning_rate": 0.1, "batch_size": 17, "epochs": 2},
        {"units": (3, 2), "dropout": 0.5},
        {"features": ("volume_change",), "window": 4},
        {"target": "close", "horizon": 9},
    )
    for number, change in enumerate(others):
        again(bars, tmp_path / "other.onnx", SMALL.model_copy(update=change))
        if number % 2:
            continue
        trained = again(bars, tmp_path / f"{number}.onnx")
        assert trained.history == small.history
        assert trained.path.read_bytes() == small.path.read_bytes(), change


def test_a_training_that_was_cut_short_does_not_matter(
    small: Trained, bars: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="diverged"):
        again(bars, tmp_path / "a.onnx", SMALL.model_copy(update={"learning_rate": 1e38}))

    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(bars, tmp_path / "b.onnx", SMALL.model_copy(update={"seed": 3}), on_epoch=interrupt)
    assert again(bars, tmp_path / "c.onnx").path.read_bytes() == small.path.read_bytes()


FRESH = """
import sys
from tests.markets import random_bars
from tests.training.conftest import SMALL, TEST_START, VALIDATION_START
from nextbar.training import train

train(
    random_bars(750, seed=4), SMALL, sys.argv[1],
    validation_start=VALIDATION_START, test_start=TEST_START,
)
"""


def test_a_fresh_process_gives_the_same_file_and_is_silent(small: Trained, path: Path) -> None:
    """Under a hash seed of its own: that of this process is another, drawn anew for each run."""
    environment = {key: value for key, value in os.environ.items() if key[:3] != "TF_"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(path)],
        cwd=ROOT,
        env=environment | {"PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert path.read_bytes() == small.path.read_bytes()


def test_many_trainings_in_one_process_are_silent(small: Trained) -> None:
    # tensorflow warns of every network from about the fifth on.
    assert not logging.getLogger("tensorflow").isEnabledFor(logging.WARNING)


# --- what it hands back ----------------------------------------------------------------------


@pytest.mark.parametrize("patience", [2, 99], ids=["stopped early", "ran out of epochs"])
def test_weights_of_the_best_epoch(patience: int, bars: pd.DataFrame, path: Path) -> None:
    config = SMALL.model_copy(
        update={"epochs": 8, "patience": patience, "learning_rate": 0.1, "dropout": 0.0}
    )
    told: list[Epoch] = []
    trained = again(bars, path, config, on_epoch=told.append)
    assert tuple(told) == trained.history
    assert [epoch.number for epoch in told] == list(range(1, len(told) + 1))
    assert {epoch.of for epoch in told} == {8}
    losses = [epoch.validation_loss for epoch in told]
    best = int(np.argmin(losses)) + 1
    assert trained.validation_accuracy == told[best - 1].validation_accuracy
    assert trained.best_epoch == best < len(told), "another learning rate, to overfit"
    assert len(told) == (best + 2 if patience == 2 else 8)
    split, up = parts(bars)
    windows = windows_of(bars.to_numpy(np.float32), config.window)
    rows = split.validation
    p = np.asarray(trained.network(windows[rows - config.window + 1]))[:, 0].astype(np.float64)
    truth = up[rows]
    loss = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    assert loss == pytest.approx(losses[best - 1], abs=1e-5)
    accuracy = np.mean((p > 0.5) == truth)
    assert accuracy == pytest.approx(told[best - 1].validation_accuracy, abs=1e-6)
    assert loss != pytest.approx(losses[-1], abs=1e-4)


def test_volume_and_horizon(bars: pd.DataFrame, path: Path) -> None:
    config = SMALL.model_copy(
        update={"features": ("volume_change", "body"), "horizon": 5, "target": "close", "epochs": 1}
    )
    card = again(bars, path, config).card
    assert card.uses_volume
    assert (card.horizon, card.target, card.features) == (5, "close", ("volume_change", "body"))
    assert len({bar[4] for bar in card.golden.bars}) > 1


def test_default_dates(bars: pd.DataFrame, path: Path) -> None:
    trained = train(bars, SMALL.model_copy(update={"epochs": 1}), path)
    assert trained.card.train_end == str(bars.index[-1 - EMBARGO].date())
    assert trained.validation_rows == len(bars) // 5 - 2 - EMBARGO


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_start": "soon"}, "test_start: expected a date such as 2010-01-31, found 'soon'"),
        ({"validation_start": "2002-13-01"}, "validation_start: expected a date"),
        ({"validation_start": []}, "validation_start: expected a date"),
        ({"test_start": ""}, "test_start: expected a date"),
        ({"test_start": "2003-01-01T00:00+01:00"}, "without a time zone"),
        ({"test_start": "1999-01-01"}, "no bars before test_start, 1999-01-01.* is of 2001-01-01"),
        ({"train_start": "2009-01-01"}, "no bars before test_start, 2003-.* train_start, 2009-"),
        ({"train_start": "2002-12-01"}, r"0 training rows before 2002-06-03"),
        ({"train_start": "sometime"}, "train_start: expected a date"),
        ({"validation_start": TEST_START}, "expected validation_start before test_start"),
        ({"validation_start": "2001-01-15"}, r"\d training rows before 2001-01-15"),
        ({"validation_start": "2002-12-20"}, r"\d validation rows before 2003-01-01"),
    ],
)
def test_bad_dates(changes: dict[str, Any], message: str, bars: pd.DataFrame, path: Path) -> None:
    with pytest.raises(BarsError, match=message):
        again(bars, path, **changes)
    assert not path.exists()


def test_too_few_bars(bars: pd.DataFrame, path: Path) -> None:
    for n in (1, 2, 30):
        with pytest.raises(BarsError, match="rows before"):
            train(bars.iloc[:n], SMALL, path)


def test_bars_are_checked(bars: pd.DataFrame, path: Path) -> None:
    with pytest.raises(BarsError, match=r"row 4 .*close"):
        again(bars.assign(close=bars["close"].where(bars.index != bars.index[4])), path)


def test_volume_feature_without_volume(bars: pd.DataFrame, path: Path) -> None:
    config = SMALL.model_copy(update={"features": ("return", "volume_change")})
    with pytest.raises(BarsError, match="every bar has 0"):
        again(bars.assign(volume=0.0), path, config)
    # Volume that comes after the training does not count.
    later = bars.assign(volume=bars["volume"].where(bars.index >= TEST_START, 0.0))
    with pytest.raises(BarsError, match="every bar has 0"):
        again(later, path, config)


def test_a_training_that_diverges(bars: pd.DataFrame, path: Path) -> None:
    config = SMALL.model_copy(update={"learning_rate": 1e38})
    with pytest.raises(ModelError, match=r"from epoch 1 on. Lower learning_rate, now 1e\+38"):
        again(bars, path, config)
    assert not path.exists()


def test_an_interrupted_training_leaves_nothing(bars: pd.DataFrame, path: Path) -> None:
    def interrupt(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(bars, path, on_epoch=interrupt)
    assert list(path.parent.iterdir()) == []


# --- importing -------------------------------------------------------------------------------

LAZY = """
import sys
import nextbar.training, nextbar.training.config
from nextbar.training import TrainingConfig, train, walk_forward, export, Facts
import nextbar.training.fit, nextbar.training.certify, nextbar.training.walkforward
TrainingConfig()
heavy = {"keras", "tensorflow", "tf2onnx", "sklearn", "joblib"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_importing_brings_no_tensorflow() -> None:
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=60)


def test_public_names() -> None:
    import nextbar.training as package

    assert package.__all__ == sorted(package.__all__)
    assert {"Facts", "TrainingConfig", "export", "train", "walk_forward"} <= set(package.__all__)
    for name in package.__all__:
        assert callable(getattr(package, name))
    assert package.train is fit.train
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        package.trian  # noqa: B018
