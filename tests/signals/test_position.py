"""Positions of a model: direction and share of one number, the same in every mode and replayed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import onnx
import pandas as pd
import pytest
from nextbar.backtests.contenders import calls_of
from nextbar.backtests.engine import Account, run
from nextbar.backtests.experiment import Experiment
from nextbar.backtests.replay import Rules, replay
from nextbar.signals import LSTMDirection, load_model
from nextbar.signals.card import Golden, seal
from nextbar.signals.errors import ModelError
from nextbar.signals.indicators import PositionDirection
from nextbar.signals.model import open_session, run_windows
from nextbar.signals.rules import call, position_share
from nextbar.signals.store import digest
from nextbar.strategies import FollowDirection
from onnx import numpy_helper

from .. import lines
from ..markets import random_bars
from ..models import card_for, lstm_graph, write_model

WINDOW = 16
MODES: dict[str, dict[str, Any]] = {
    "batched": {},
    "streaming": {"runonce": False},
    "small buffers": {"exactbars": 1},
}
BARS = random_bars(140, seed=5)


def position_graph() -> bytes:
    """Return the graph of the other tests with a hyperbolic tangent at its end."""
    model = onnx.ModelProto.FromString(lstm_graph(WINDOW))
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            node.op_type = "Tanh"
        if node.output[0] == "probability":
            node.output[0] = "position"
    for tensor in model.graph.initializer:
        if tensor.name == "D":  # positions of all sizes
            tensor.CopyFrom(numpy_helper.from_array(8 * numpy_helper.to_array(tensor), "D"))
    model.graph.output[0].name = "position"
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = position_graph()
    card = card_for(lstm_graph(WINDOW), WINDOW, head="position")
    bars = np.array(card.golden.bars, np.float32)[None]
    answer = run_windows(open_session(graph), bars, output="position")
    golden = Golden(bars=card.golden.bars, outputs={"position": (float(answer[0]),)})
    changes = {"graph_sha256": digest(graph), "golden": golden}
    path = tmp_path_factory.mktemp("position") / "position.onnx"
    path.write_bytes(seal(graph, card.model_copy(update=changes)))
    return path


def lines_of(make: Any, frame: pd.DataFrame = BARS, **mode: Any) -> np.ndarray:
    """Return directions, scores and shares, shape (3, n)."""
    return lines.lines_of(make, frame, names=(*lines.CALL, "share"), **mode)


def scores(path: Path, frame: pd.DataFrame = BARS) -> np.ndarray:
    return np.append(np.full(WINDOW - 1, np.nan), load_model(path).score(frame.to_numpy()))


@pytest.mark.parametrize("dead_band", [0.0, 0.2])
@pytest.mark.parametrize("mode", MODES)
def test_lines(mode: str, dead_band: float, model: Path) -> None:
    make = partial(PositionDirection, model=model, dead_band=dead_band)
    direction, score, share = lines_of(make, **MODES[mode])
    expected = scores(model)
    assert expected[WINDOW - 1 :].min() < -0.3
    assert expected[WINDOW - 1 :].max() > 0.3
    np.testing.assert_allclose(score, expected, atol=1e-6)
    np.testing.assert_array_equal(direction, call(expected, 0.0, dead_band))
    np.testing.assert_array_equal(share, position_share(score))
    assert (share[: WINDOW - 1] == 1.0).all()
    np.testing.assert_allclose(share[WINDOW - 1 :], np.abs(expected[WINDOW - 1 :]), atol=5.1e-4)


@pytest.mark.parametrize("mode", ["batched", "streaming"])
def test_unusable_bars_have_no_direction_and_a_share(mode: str, model: Path) -> None:
    frame = BARS.copy()
    frame.iloc[60, 3] = np.nan
    direction, score, share = lines_of(
        partial(PositionDirection, model=model), frame, **MODES[mode]
    )
    gap = slice(60, 60 + WINDOW)
    assert np.isnan(score[gap]).all()
    assert (direction[gap] == 0).all()
    assert (share[gap] == 1).all()
    assert np.isfinite(score[60 + WINDOW :]).all()


def test_shares_are_thousandths_from_0_to_1() -> None:
    found = position_share(np.array([-1.0, -0.25049, 0.0, 0.0004, 0.7, 1.0, np.nan]))
    assert found.tolist() == [1.0, 0.25, 0.0, 0.0, 0.7, 1.0, 1.0]


def test_another_head_is_refused(tmp_path: Path, model: Path) -> None:
    path = write_model(tmp_path / "m.onnx", WINDOW)
    with pytest.raises(ModelError, match="expected a model of positions, found head 'direction'"):
        lines_of(partial(PositionDirection, model=path))
    # The other way round it is a direction without a share.
    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.PandasData(dataname=BARS))
    cerebro.addindicator(LSTMDirection, model=model)
    assert issubclass(PositionDirection, LSTMDirection)
    # backtrader adds the lines of every base; twice the same two would leave the first ones empty.
    assert PositionDirection.lines.getlinealiases() == ("direction", "score", "share")
    assert "share" not in LSTMDirection.lines.getlinealiases()


def test_in_sample_bars_are_flat(tmp_path: Path, model: Path) -> None:
    card = load_model(model).card.model_copy(update={"train_end": str(BARS.index[70].date())})
    path = tmp_path / "seen.onnx"
    path.write_bytes(seal(position_graph(), card))
    for mode in ("batched", "streaming"):
        direction, score, _ = lines_of(partial(PositionDirection, model=path), **MODES[mode])
        assert (direction[:71] == 0).all()
        assert (direction[71:] != 0).all()
        assert np.isfinite(score[WINDOW - 1 :]).all()


def test_the_position_follows_the_share(model: Path) -> None:
    """At every close the account is worth so many units as the share of the target asks for."""
    params = {
        "signal": partial(PositionDirection, model=model),
        "shorts": True, "target": 0.8, "band": 0.0, "step": None,
    }  # fmt: skip
    account = Account(100_000.0, 0.0)
    found = run(BARS, FollowDirection, params, account, name="x", first=BARS.index[WINDOW - 1])
    expected = scores(model)
    equity, held = found.equity.to_numpy(), found.position.to_numpy()
    close = BARS["close"].to_numpy()[WINDOW - 1 :]
    wanted = np.sign(expected) * position_share(expected)
    wanted = 0.8 * wanted[WINDOW - 1 :] * equity / close  # decided at t, held at t + 1
    np.testing.assert_allclose(held[1:], wanted[:-1], rtol=1e-9)
    assert len(np.unique(np.round(np.abs(held * close / equity), 2))) > 20


@pytest.mark.parametrize("shorts", [False, True])
@pytest.mark.parametrize("step", [None, 1.0])
@pytest.mark.parametrize("band", [None, 0.0, 0.1])
def test_replayed_as_backtrader_trades(
    band: float | None, step: float | None, shorts: bool, model: Path
) -> None:
    first = WINDOW + 4
    signal = partial(PositionDirection, model=model, dead_band=0.05)
    params = {"signal": signal, "shorts": shorts, "band": band, "step": step}
    expected = run(BARS, FollowDirection, params, Account(), name="x", first=BARS.index[first])
    score = scores(model)
    found = replay(
        *(BARS[name].to_numpy()[None] for name in ("open", "close")),
        np.asarray(call(score, 0.0, 0.05)).astype(np.int8)[None],
        np.array([Account().cost_bps]),
        Rules(shorts=shorts, band=band, step=step, first=first),
        share=position_share(score)[None],
    )
    assert found.equity[0, first:].tobytes() == expected.equity.to_numpy().tobytes()
    assert found.position[0, first:].tobytes() == (expected.position.to_numpy() + 0.0).tobytes()
    assert found.fills.sum() == len(expected.orders) > 5


def test_calls_of_an_experiment_are_the_lines(model: Path) -> None:
    experiment = Experiment.model_construct(dead_band=0.1, band=None)
    score = scores(model)
    calls = calls_of(score, "position", experiment)
    direction, _, share = lines_of(partial(PositionDirection, model=model, dead_band=0.1))
    np.testing.assert_array_equal(calls.direction, direction)
    np.testing.assert_array_equal(calls.share, share)
