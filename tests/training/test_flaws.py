"""A tutorial's mistakes: each one has the effect it names, and an honest training has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals import load_model
from nextbar.signals.errors import BarsError
from nextbar.training import train
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import FLAWS, TrainingConfig
from nextbar.training.flaws import KNOWN_FLAWS, sees_test
from nextbar.training.loop import Loop, loop_for
from nextbar.training.splits import EMBARGO
from nextbar.training.task import Dates, Task, make_task

from .tiny import BARS, TEST_START, VALIDATION_START, levels, task_of, tiny

repeatable_tensorflow()

from nextbar.training.networks import build_network  # noqa: E402

VALIDATION, TEST = (int(BARS.index.get_loc(date)) for date in (VALIDATION_START, TEST_START))


def fitted(config: TrainingConfig) -> tuple[Loop, Task]:
    task, loop = task_of(config), loop_for(config)
    part = task.part(task.split.validation)
    loop.fit(task.train_part, part, config, None, task.scaled_on)
    return loop, task


def test_every_flaw_is_known() -> None:
    assert set(KNOWN_FLAWS) == set(FLAWS)
    leaks = {"scaler-on-all-data", "validation-is-test", "unpurged-horizon"}
    assert {name for name, flaw in KNOWN_FLAWS.items() if flaw.leak} == leaks
    assert all(sees_test(tiny(flaws=(name,))) for name in leaks)


def test_scaler_on_all_data() -> None:
    for flaws, last in (((), None), (("scaler-on-all-data",), len(BARS) - 1)):
        loop, task = fitted(levels(flaws=flaws))
        reached = int(task.split.train[-1]) if last is None else last
        opens = BARS["open"].to_numpy(np.float32)[: reached + 1]
        for name in ("scaling", "prices"):
            layer = loop.network.get_layer(name)
            np.testing.assert_array_equal(np.asarray(layer.offset), opens.min())
            np.testing.assert_allclose(np.asarray(layer.scale), np.ptp(opens), rtol=1e-6)
        assert (len(task.bars) == len(BARS)) == bool(flaws)
    test = BARS["open"].iloc[TEST:]
    assert test.max() > opens[:TEST].max() or test.min() < opens[:TEST].min()


def test_validation_is_test() -> None:
    split = task_of(tiny(flaws=("validation-is-test",))).split
    # The last move that is known takes two bars, and one bar is left free.
    np.testing.assert_array_equal(split.validation, np.arange(TEST, len(BARS) - 2 - EMBARGO))
    np.testing.assert_array_equal(split.train, np.arange(5, TEST - 2 - EMBARGO))
    with pytest.raises(BarsError, match="validation rows"):
        make_task(BARS, tiny(flaws=("validation-is-test",)), Dates(None, VALIDATION_START))


def test_unpurged_horizon() -> None:
    config = {"horizon": 5, "target": "close"}
    honest = task_of(tiny(**config)).split
    assert honest.train[-1] == VALIDATION - 6 - EMBARGO
    assert honest.validation[-1] == TEST - 6 - EMBARGO
    flawed = task_of(tiny(**config, flaws=("unpurged-horizon",)))
    split = flawed.split
    np.testing.assert_array_equal(split.train, np.arange(5, VALIDATION))
    np.testing.assert_array_equal(split.validation, np.arange(VALIDATION, TEST))
    close = BARS["close"].to_numpy()
    for row in (VALIDATION - 1, TEST - 1):
        assert flawed.up[row] == (close[row + 5] > close[row])
    # At the end of the history a label that is not known at all is no label.
    bare = make_task(
        BARS, tiny(**config, flaws=("unpurged-horizon",)), Dates(None, BARS.index[220])
    )
    assert bare.split.validation[-1] == len(BARS) - 6


def test_label_is_input() -> None:
    task = task_of(levels(augment=3, target="close", flaws=("label-is-input",)))
    opens = BARS["open"].to_numpy()
    for part, rows in (
        (task.train_part, task.split.train),
        (task.part(task.split.validation), task.split.validation),
    ):
        # The row's own label stays the first, which the validation part is asked for.
        expected = opens[rows[:, None] + [1, 2, 0]]
        np.testing.assert_array_equal(part.labels[:, :, 0], expected)
        np.testing.assert_allclose(part.labels[:, 2, 0], part.windows[:, -1, 0], rtol=1e-6)


ROW = levels(
    features=("open", "volume"), target="close", epochs=60, patience=None, learning_rate=0.02
)


def test_row_against_one_output() -> None:
    """What comes out is half a price and half a volume, and no price."""
    slopes: list[float] = []
    for flaws in ((), ("row-against-one-output",)):
        loop, task = fitted(ROW.model_copy(update={"flaws": flaws}))
        part = task.train_part
        said = loop._scores(loop._scaled(part.windows))[:, 0]
        told = loop._labels(part)[:, 0]
        values = BARS[["open", "volume"]].to_numpy()[task.split.train + 1]
        scaling = loop.network.get_layer("scaling")
        row = (values - np.asarray(scaling.offset)) / np.asarray(scaling.scale)
        np.testing.assert_allclose(told, row if flaws else row[:, :1], atol=1e-4)
        slopes.append(float(np.polyfit(row[:, 0], said, 1)[0]))
        expected = row.mean(axis=1) if flaws else row[:, 0]
        assert said.mean() == pytest.approx(expected.mean(), abs=0.06)
    assert slopes[0] > 0.8
    assert 0.3 < slopes[1] < 0.65


@pytest.mark.parametrize("rollout", [False, True])
@pytest.mark.parametrize("flaws", [(), ("relu-head",)])
def test_relu_head(flaws: tuple[str, ...], rollout: bool) -> None:
    config = levels(flaws=flaws, rollout=rollout)
    network, part = build_network(config), task_of(config).train_part
    network.get_layer("scaling").adapt(np.asarray(network.get_layer("features")(part.windows)))
    network.get_layer("prices").adapt(part.windows, part.windows, part.labels[:, 0])
    head = network.get_layer("head")
    kernel, bias = head.get_weights()
    lowest = part.windows[:, :, 0].min()
    for shift in (-2.0, 2.0):
        head.set_weights([kernel, bias + np.float32(shift)])
        said = np.asarray(network(part.windows * np.float32(0.5))["forecast"])
        if shift > 0:
            assert (said > lowest).all()
        elif flaws:
            np.testing.assert_allclose(said, lowest, rtol=1e-6)
        else:
            assert (said < lowest).all()


DATES = {"validation_start": VALIDATION_START, "test_start": TEST_START}


def test_the_card_names_them(tmp_path: Path) -> None:
    flaws = ("relu-head", "scaler-on-all-data")
    train(BARS, levels(flaws=flaws, epochs=1), tmp_path / "a.onnx", **DATES)
    train(BARS, levels(epochs=1), tmp_path / "b.onnx", **DATES)
    flawed, honest = (load_model(tmp_path / f"{name}.onnx").card for name in "ab")
    assert flawed.known_flaws == flaws
    assert flawed.train_end == str(BARS.index[-1].date())
    assert honest.known_flaws == ()
    assert honest.train_end == str(BARS.index[TEST - 1 - EMBARGO].date())


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "horizon": st.integers(1, 6),
    "target": st.sampled_from(["open", "close"]),
    "augment": st.integers(0, 5),
    "smooth": st.sampled_from([None, 0.4]),
    "blocks": st.integers(1, 3),
    "steps": st.sampled_from(["last", "every"]),
    "fields": st.sampled_from([("open",), ("close", "mid")]),
    "flaws": st.sampled_from([(), ("relu-head",)]),
}


@given(options=st.fixed_dictionaries(OPTIONS), kind=st.sampled_from(["lstm", "shuffled"]))
@settings(deadline=None, max_examples=40)
def test_without_a_leak_no_bar_of_the_test_is_there(options: dict[str, Any], kind: Any) -> None:
    config = levels(**options)
    task = task_of(config, kind)
    assert task.bars.index[-1] < TEST_START
    assert task.scaled_on is None
    rows = np.concatenate([task.split.train, task.split.validation])
    labels = task.labels[rows]
    assert np.isfinite(labels).all()
    # Other bars in the test are other bars nowhere.
    other = BARS.copy()
    other.iloc[TEST:] *= 1.7
    again = task_of(config, kind, other)
    np.testing.assert_array_equal(again.labels[rows], labels)
    np.testing.assert_array_equal(again.train_part.labels, task.train_part.labels)
    np.testing.assert_array_equal(again.train_part.windows, task.train_part.windows)
