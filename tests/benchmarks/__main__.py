"""All benchmarks in one command: ``python -m tests.benchmarks``.

Prints each measured figure beside its bound and fails when one is missed. With ``--lenient`` it
fails only at twice the bound, for shared machines. Every figure is the median of paired runs: both
sides are measured one after the other in each repeat, on fresh bars, so that no cache helps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
from nextbar.backtests.replay import Rules, replay
from nextbar.signals import LSTMDirection, load_model, sample_model
from nextbar.signals.model import CHUNK
from nextbar.signals.windows import windows_of
from nextbar.strategies import FollowDirection
from nextbar.training import Facts, TrainingConfig, export
from nextbar.training.backend import tensorflow

from ..markets import random_bars

COLUMNS = ["open", "high", "low", "close", "volume"]
FEATURES = ("return", "gap", "body", "range", "volume_change")


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    bound: float
    unit: str
    at_least: bool = False
    detail: str = ""

    def ok(self, leniency: float) -> bool:
        if self.at_least:
            return self.value >= self.bound / leniency
        return self.value <= self.bound * leniency

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return (
            f"{self.name:<58} {self.value:9.3g} {self.unit:<9} {sign} {self.bound:g}  {self.detail}"
        )


class Timed(LSTMDirection):
    """Adds up the seconds spent in once()."""

    spent = 0.0

    def once(self, start: int, end: int) -> None:
        began = time.perf_counter()
        super().once(start, end)
        Timed.spent += time.perf_counter() - began


class Empty(bt.Strategy):
    pass


class WithSignal(bt.Strategy):
    params = (("signal", None), ("model", ""))

    def __init__(self) -> None:
        self.signal = self.p.signal(self.data, model=self.p.model, in_sample="allow")


def run_seconds(frame: Any, strategy: Any, runonce: bool, **params: Any) -> float:
    cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
    cerebro.adddata(bt.feeds.PandasDirectData(dataname=frame, openinterest=-1))
    cerebro.addstrategy(strategy, **params)
    began = time.perf_counter()
    cerebro.run()
    return time.perf_counter() - began


def raw_seconds(session: Any, windows: np.ndarray, chunk: int) -> float:
    batches = [np.ascontiguousarray(windows[i : i + chunk]) for i in range(0, len(windows), chunk)]
    began = time.perf_counter()
    for batch in batches:
        session.run(["probability"], {"bars": batch})
    return time.perf_counter() - began


def paired(measure: Callable[[int], float], repeats: int) -> float:
    measure(0)  # warm up
    return statistics.median(measure(seed) for seed in range(1, repeats + 1))


def market(n: int, seed: int) -> Any:
    frame = random_bars(n, seed=seed)
    frame.attrs["symbol"] = "TEST"
    return frame


def batched_ratio(path: Path, seed: int) -> float:
    frame = market(5000, seed)
    session = load_model(path).session
    windows = windows_of(frame.to_numpy(np.float32), load_model(path).card.window)
    Timed.spent = 0.0
    run_seconds(frame, WithSignal, True, signal=Timed, model=path)
    return Timed.spent / raw_seconds(session, windows, CHUNK)


def overhead_us(path: Path, seed: int) -> float:
    frame = market(5000, seed)
    frame.attrs["symbol"] = load_model(path).card.symbols[0]
    windows = windows_of(frame.to_numpy(np.float32), load_model(path).card.window)
    Timed.spent = 0.0
    run_seconds(frame, WithSignal, True, signal=Timed, model=path)
    raw = raw_seconds(load_model(path).session, windows, CHUNK)
    return (Timed.spent - raw) / len(windows) * 1e6


def streamed_ratio(path: Path, seed: int) -> float:
    frame = market(1500, seed)
    model = load_model(path)
    windows = windows_of(frame.to_numpy(np.float32), model.card.window)
    without = run_seconds(frame, Empty, False)
    streamed = run_seconds(frame, WithSignal, False, signal=LSTMDirection, model=path)
    return streamed / (without + raw_seconds(model.session, windows, 1))


def keras_ratio(network: Any, path: Path, seed: int) -> float:
    frame = market(5000, seed)
    windows = windows_of(frame.to_numpy(np.float32), load_model(path).card.window)
    Timed.spent = 0.0
    run_seconds(frame, WithSignal, True, signal=Timed, model=path)
    ours = Timed.spent / len(windows)
    began = time.perf_counter()
    for window in windows[:20]:  # what the public indicators do in next()
        network.predict(window[None], verbose=0)
    return (time.perf_counter() - began) / 20 / ours


def seconds_of(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def import_ratio(_: int) -> float:
    parts = seconds_of(sys.executable, "-c", "import backtrader, pandas, onnxruntime")
    return seconds_of(sys.executable, "-c", "import nextbar.signals") / parts


class Known(bt.Indicator):
    """Directions known beforehand: no work of its own on backtrader's side of the ratio."""

    lines = ("direction", "score")
    calls = np.empty(0)

    def next(self) -> None:
        raise NotImplementedError

    def once(self, start: int, end: int) -> None:
        np.asarray(self.lines.direction.array)[start:end] = self.calls[start:end]


def replay_ratio(seed: int) -> float:
    """Return backtrader's seconds over the replay's, for one account of 50,000 bars."""
    frame = market(50_000, seed)
    noise = np.random.default_rng(seed).normal(size=len(frame))
    Known.calls = np.sign(np.convolve(noise, np.ones(30), "same"))
    prices = [frame[name].to_numpy()[None] for name in ("open", "close")]
    direction, costs = Known.calls.astype(np.int8)[None], np.array([0.0])
    backtrader = run_seconds(frame, FollowDirection, True, signal=Known, shorts=True)
    began = time.perf_counter()
    replay(*prices, direction, costs, Rules(shorts=True, cash=10_000.0))
    return backtrader / (time.perf_counter() - began)


def build(folder: Path) -> tuple[Any, Path]:
    tensorflow()
    import keras
    from nextbar.training.networks import build_network

    keras.utils.set_random_seed(0)
    config = TrainingConfig(units=(50, 50), window=60, features=FEATURES)
    network = build_network(config)
    path = folder / "two-by-fifty.onnx"
    export(network, path, bars=market(200, 99), facts=Facts(architecture="stacked 50-50"))
    return network, path


def figures(folder: Path) -> list[Figure]:
    network, path = build(folder)
    nextbar = str(Path(sys.executable).with_name("nextbar"))
    sample = sample_model()
    return [
        Figure(
            "once(), 5,000 bars / raw session.run",
            paired(lambda s: batched_ratio(path, s), 9),
            1.15,
            "x",
        ),
        Figure(
            "streamed bar / (raw window + bar without indicator)",
            paired(lambda s: streamed_ratio(path, s), 9),
            1.3,
            "x",
        ),
        Figure(
            "Keras predict in next() / once(), per bar",
            paired(lambda s: keras_ratio(network, path, s), 5),
            300,
            "x",
            at_least=True,
        ),
        Figure(
            "sample model: once() over raw, per bar",
            paired(lambda s: overhead_us(sample, s), 9),
            5,
            "us",
        ),
        Figure(
            "replay / backtrader, bars a second, 50,000 bars",
            paired(replay_ratio, 5),
            5000,
            "x",
            at_least=True,
        ),
        Figure("nextbar --help", paired(lambda _: seconds_of(nextbar, "--help"), 5), 0.5, "s"),
        Figure(
            "import nextbar.signals / backtrader + pandas + onnxruntime",
            paired(import_ratio, 7),
            1.3,
            "x",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lenient", action="store_true", help="fail only at twice the bound")
    leniency = 2.0 if parser.parse_args().lenient else 1.0
    sys.stdout.write(
        f"2 x LSTM(50), window 60; onnxruntime threads: 1; chunk {CHUNK}; {os.cpu_count()} cores\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        found = figures(Path(folder))
    for figure in found:
        sys.stdout.write(f"{figure}\n")
    missed = [figure.name for figure in found if not figure.ok(leniency)]
    if missed:
        sys.exit(f"missed by more than {leniency:g} x the bound: {', '.join(missed)}")


if __name__ == "__main__":
    main()
