"""Whole comparisons on markets whose truth is known: ``python -m tests.simulations.markets``.

Prints the tables of docs/markets.md. Every market is one run of `compare()`: LSTMs are trained,
exported and followed by backtrader, and the verdict is read from the results.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from nextbar.backtests import Experiment, compare
from nextbar.backtests.common import BASELINES, LABELS
from nextbar.backtests.experiment import run_hash, shared_dates
from nextbar.backtests.metrics import sharpe
from nextbar.backtests.plan import Plan, experiment_of
from nextbar.backtests.simulate import account_returns, rules_of, simulate_many
from nextbar.signals.bars import periods_per_year
from nextbar.signals.card import seal
from nextbar.signals.store import write_atomic
from onnx import helper, numpy_helper

from ..markets import planted_walk, trending_bars, walk_bars
from ..models import card_for, lstm_graph

SHORT, LONG = 2500, 7500
"""Daily bars of a market, ten years and thirty, of which the last 70 % are tested."""

MIDDLE = int(LONG * 0.65)
"""The bar in the middle of the test."""


@dataclass(frozen=True)
class Market:
    """Bars of one comparison by symbol, and the planted state at each close where there is one."""

    bars: dict[str, pd.DataFrame]
    states: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Kind:
    """One row of the table: markets made in one way, numbered from 0."""

    name: str
    shown: str
    made: Callable[[int], Market]
    markets: int = 10
    always_long: bool = False
    """Judge a model that always says 0.6 in place of trained ones."""

    @property
    def caller(self) -> str:
        return "always long" if self.always_long else "LSTM"


def null_market(number):
    return Market({"TEST": walk_bars(SHORT, 1000 + number)})


def trend_market(number):
    return Market({"TEST": trending_bars(LONG, 2000 + number, drift=0.002, hold=40)})


def planted_market(number, symbols=1, **rule):
    made = {
        f"P{i}": planted_walk(LONG, 3000 + 10 * number + i, **rule) for i in range(1, symbols + 1)
    }
    return Market({k: bars for k, (bars, _) in made.items()}, {k: s for k, (_, s) in made.items()})


KINDS = (
    Kind("null", "random walk", null_market, 50),
    Kind("long", "random walk", null_market, 50, always_long=True),
    Kind("right60", "right 60 %, 10 d", partial(planted_market, accuracy=0.6)),
    Kind("fades", "the same, then fades", partial(planted_market, accuracy=0.6, until=MIDDLE)),
    Kind("trend", "trends", trend_market),
    Kind(
        "right55",
        "4 symbols, right 55 %, 20 d",
        partial(planted_market, symbols=4, accuracy=0.55, hold=20),
    ),
)


def write_always_long(path: Path, window: int = 21) -> Path:
    """Write a sealed model file whose probability is 0.6 on every bar."""
    model = onnx.load_from_string(lstm_graph(window))
    weights = {weight.name: weight for weight in model.graph.initializer}
    still = np.zeros(weights["D"].dims, np.float32)
    weights["D"].CopyFrom(numpy_helper.from_array(still, "D"))
    bias = np.array([math.log(0.6 / 0.4)], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(bias, "bias"))
    place, last = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "MatMul")
    last.output[0] = "still"
    model.graph.node.insert(place + 1, helper.make_node("Add", ["still", "bias"], ["logit"]))
    onnx.checker.check_model(model)
    graph = model.SerializeToString()
    dates = {"train_start": "1970-01-01", "train_end": "1979-12-31"}
    path.write_bytes(seal(graph, card_for(graph, window, **dates)))
    return path


def outcome(made: Market, runs: Path, *, model: Path | None = None, cached=None, **settings):
    """Return what one comparison says, as plain values; `cached` when it is of the same run.

    `settings` are fields of a plan: by default those of ``nextbar demo`` with one seed.
    """
    fields = {"name": "market", "folds": 3}
    if model is None:
        fields["seeds"] = 1
    else:
        dates = shared_dates(made.bars)
        first = dates[int(len(dates) * 0.3)].date()  # as it is without a model
        fields |= {"model": str(model), "first_test": first}
    plan = Plan(**fields | settings)
    experiment = experiment_of(plan, made.bars)
    name = run_hash(experiment, made.bars)
    if cached is not None and cached["hash"] == name:
        return cached
    began = time.monotonic()
    done = compare(experiment, made.bars, runs=runs, model=model, workers=1).summary
    verdict = done["evidence"]["verdict"]
    pairs = {pair["baseline"]: pair for pair in verdict["pairs"]}
    pairs |= {name: pairs[other] for name, other in verdict["dropped"].items()}
    return {
        "hash": name,
        "overall": verdict["overall"],
        "sentence": verdict["sentence"],
        "trials": verdict["trials"],
        "detectable": verdict["detectable"],
        "decayed": done["evidence"]["halves"]["decayed"],
        "beaten": [n for n in BASELINES if n in pairs and pairs[n]["verdict"] == "beats"],
        "leads": {name: pairs[name]["difference"] for name in BASELINES if name in pairs},
        "accuracy": float(np.mean([s["calls"]["accuracy"] for s in done["symbols"].values()])),
        "exact": None if made.states is None else exact_lead(made, experiment),
        "seconds": time.monotonic() - began,
    }


def exact_lead(made: Market, experiment: Experiment) -> float:
    """Return the lead over buy & hold, net of costs, of calls that read the state without error."""
    own, hold = [], []
    for symbol, frame in made.bars.items():
        start = int(frame.index.searchsorted(pd.Timestamp(experiment.test_start)))
        calls = np.array([made.states[symbol], np.ones(len(frame))], np.int8)[:, start:]
        done = simulate_many(frame.iloc[start:], calls, [experiment.cost_bps], rules_of(experiment))
        returns = account_returns(done.equity, experiment.cash)[:, 1:]
        own.append(returns[0])
        hold.append(returns[1])
    yearly = periods_per_year(frame)
    return sharpe(np.mean(own, axis=0), yearly) - sharpe(np.mean(hold, axis=0), yearly)


def market(kind_name: str, number: int, cache: Path) -> dict:
    """Return the outcome of one market, from the cache where it is there."""
    kind = next(kind for kind in KINDS if kind.name == kind_name)
    file = cache / f"{kind.name}-{number:03d}.json"
    cached = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    with tempfile.TemporaryDirectory() as folder:  # a fresh ledger: one trial
        model = write_always_long(Path(folder, "long.onnx")) if kind.always_long else None
        found = outcome(kind.made(number), Path(folder, "runs"), model=model, cached=cached)
    write_atomic(file, json.dumps(found, indent=1) + "\n")
    return found


def run_all(kinds: Sequence[Kind], markets: int | None, workers: int, cache: Path):
    """Return the outcomes by kind; how far it is goes to standard error."""
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [(k.name, number) for k in kinds for number in range(min(markets or 10**6, k.markets))]
    found: dict[str, dict[int, dict]] = {kind.name: {} for kind in kinds}
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(market, *job, cache): job for job in jobs}
        for done, future in enumerate(as_completed(waiting), start=1):
            name, number = waiting[future]
            found[name][number] = future.result()
            left = (time.monotonic() - began) / done * (len(jobs) - done) / 60
            sys.stderr.write(f"{done}/{len(jobs)}, {left:.0f} min left: {name} {number}\n")
    return {name: [rows[number] for number in sorted(rows)] for name, rows in found.items()}


def words(rows: Sequence[dict]) -> list[int]:
    """Return how often each overall word came out."""
    said = [row["overall"] for row in rows]
    return [said.count(word) for word in ("beats", "does not beat", "cannot tell")]


def mean(values: Iterator[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):+.2f}" if known else ""


def overall_table(kinds: Sequence[Kind], found) -> Iterator[str]:
    yield "| market | calls of | markets | beats | does not beat | cannot tell | decayed "
    yield "| calls right | lead over buy & hold | of exact calls | detectable |\n"
    yield "|---" * 11 + "|\n"
    for kind in kinds:
        rows = found[kind.name]
        counts = [len(rows), *words(rows), sum(row["decayed"] is True for row in rows)]
        figures = [
            f"{np.mean([row['accuracy'] for row in rows]):.1%}",
            mean(row["leads"]["buy_and_hold"] for row in rows),
            mean(row["exact"] for row in rows),
            mean(row["detectable"] for row in rows).lstrip("+"),
        ]
        yield f"| {' | '.join([kind.shown, kind.caller, *map(str, counts), *figures])} |\n"


def pair_table(kinds: Sequence[Kind], found) -> Iterator[str]:
    yield f"| market | calls of | {' | '.join(LABELS[name] for name in BASELINES)} |\n"
    yield "|---" * (2 + len(BASELINES)) + "|\n"
    for kind in kinds:
        rows = found[kind.name]
        cells = [
            str(sum(name in row["beaten"] for row in rows)) if name in rows[0]["leads"] else ""
            for name in BASELINES
        ]
        yield f"| {' | '.join([kind.shown, kind.caller, *cells])} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, help="at most so many of each kind")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], nargs="+")
    parser.add_argument("--cache", type=Path, help="folder of finished markets, to go on from")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind.name in (options.only or [kind.name])]
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        found = run_all(kinds, options.markets, options.workers, cache)
    sys.stdout.writelines([*overall_table(kinds, found), "\n", *pair_table(kinds, found)])


if __name__ == "__main__":
    main()
