"""Size and power of the verdict, simulated: ``python -m tests.simulations.verdict``.

Prints the table of docs/verdict.md. Nothing here trades: strategies are positions, set at one close
and held to the next, on generated returns. Axis 0 is always the run, the last axis the day.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from nextbar.backtests.evidence.halves import halves_of
from nextbar.backtests.verdict import decide
from scipy.signal import lfilter
from scipy.stats import norm
from scipy.stats import t as student

HISTORY, YEAR = 756, 252
COST = 5e-4
BATCH = 50
NULLS = ("random, 60 % long", "random, 97 % long", "random, 20 % long", "noisy EMA copy")


@dataclass(frozen=True)
class Market:
    name: str
    drift: float = 0.0003
    cost: float = COST


RISING = Market("rising")
FALLING = Market("falling", drift=-0.0003)
STILL = Market("no drift, no cost", drift=0.0, cost=0.0)


@dataclass
class Cell:
    """What came out for one strategy on one kind of market."""

    name: str
    words: dict[str, int] = field(
        default_factory=lambda: {"beats": 0, "does not beat": 0, "cannot tell": 0}
    )
    leads: list[float] = field(default_factory=list)
    detectable: list[float] = field(default_factory=list)
    any_pair: int = 0
    decayed: int = 0

    @property
    def runs(self) -> int:
        return len(self.leads)


def spells(rng, shape, hold, share, correlation):
    """Return long or not, shape (runs, symbols, days): drawn anew with chance 1 / hold a day."""
    runs, _, days = shape
    common = rng.standard_normal((runs, 1, days))
    latent = math.sqrt(correlation) * common
    latent = latent + math.sqrt(1 - correlation) * rng.standard_normal(shape)
    anew = rng.random((runs, 1, days)) < 1 / hold
    anew[..., 0] = True
    drawn = np.maximum.accumulate(np.where(anew, np.arange(days), 0), axis=-1)
    return np.take_along_axis(latent, np.broadcast_to(drawn, shape), axis=-1) < norm.ppf(share)


def market_returns(rng, shape, market, signal=None, accuracy=0.5, until=None):
    """Return GARCH(1,1) returns with t(5) shocks, which lean to `signal` where one is planted.

    One symbol moves 1.05 % a day, four move 1.4 % each with correlation 0.5. From day `until` on
    the signal means nothing.
    """
    runs, symbols, days = shape
    sd = 0.0105 if symbols == 1 else 0.014
    mix = np.linalg.cholesky(np.full((symbols, symbols), 0.5) + 0.5 * np.eye(symbols))
    shocks = np.einsum("ij,rjd->rid", mix, rng.standard_normal(shape))
    shocks *= np.sqrt(3.0 / rng.chisquare(5, (runs, 1, days)))
    if signal is not None:
        lean = student.ppf(accuracy, 5) * math.sqrt(3 / 5)
        led = (shocks + lean * np.where(signal, 1.0, -1.0)) / math.sqrt(1 + lean**2)
        shocks = np.where(np.arange(days) < (until or days), led, shocks)
    variance = np.full(shape[:2], sd**2)
    moves = np.empty(shape)
    for day in range(days):
        moves[..., day] = np.sqrt(variance) * shocks[..., day]
        variance = 0.02 * sd**2 + 0.08 * moves[..., day] ** 2 + 0.9 * variance
    return np.maximum(market.drift + moves, -0.5)


def before(values):
    """Return the values known at the close before each day; 0 on the first."""
    return np.concatenate([np.zeros_like(values[..., :1]), values[..., :-1]], axis=-1)


def ema(values, period):
    weight = 2 / (period + 1)
    start = (1 - weight) * values[..., :1]
    return lfilter([weight], [1, weight - 1], values, axis=-1, zi=start)[0]


def linear_calls(returns):
    """Return the calls of a linear classifier on five past returns, refitted every year."""
    days = returns.shape[-1]
    past = [np.ones_like(returns), before(returns)]
    for _ in range(4):
        past.append(before(past[-1]))
    features = np.stack(past, axis=-1)
    target = np.sign(returns)
    calls = np.zeros_like(returns)
    for start in range(HISTORY, days, YEAR):
        known = features[..., :start, :]
        weights = np.linalg.solve(
            np.einsum("rsdi,rsdj->rsij", known, known) + 1e-12 * np.eye(6),
            np.einsum("rsdi,rsd->rsi", known, target[..., :start])[..., None],
        )
        block = features[..., start : start + YEAR, :]
        calls[..., start : start + YEAR] = (block @ weights)[..., 0] > 0
    return calls


def majority_calls(returns):
    share = before(np.cumsum(returns > 0, axis=-1)) / np.maximum(np.arange(returns.shape[-1]), 1)
    calls = np.zeros_like(returns)
    for start in range(HISTORY, returns.shape[-1], YEAR):
        calls[..., start : start + YEAR] = share[..., start : start + 1] > 0.5
    return calls


def baseline_positions(returns):
    """Return the positions of the baselines, each from closes before the day."""
    price = np.cumsum(np.log1p(returns), axis=-1)
    past = np.concatenate([np.full_like(price[..., :252], np.inf), price[..., :-252]], axis=-1)
    risk = np.sqrt(ema(returns**2, 60) * YEAR)
    trend = before(ema(np.exp(price), 20) > ema(np.exp(price), 50))
    return {
        "hold": np.ones_like(returns),
        "volatility": np.minimum(1.0, 0.12 / np.maximum(before(risk), 1e-9)),
        "ema": trend,
        "momentum": before(price > past),
        "mean": before(np.cumsum(returns, axis=-1) > 0),
        "reversal": before(returns < 0),
        "linear": linear_calls(returns),
        "majority": majority_calls(returns),
    }


def pooled(positions, returns, cost):
    """Return net returns of the days after the history, averaged over the symbols."""
    positions = np.asarray(positions, dtype=np.float64)
    traded = np.abs(np.diff(positions[..., HISTORY - 1 :], axis=-1))
    return (positions * returns)[..., HISTORY:].mean(axis=1) - cost * traded.mean(axis=1)


def random_calls(positions, returns, cost):
    """Return the mean over all moments at which the same calls could have been made."""
    late = np.asarray(positions, dtype=np.float64)[..., HISTORY:]
    exposure = late.mean(axis=-1, keepdims=True)
    traded = np.abs(np.diff(late, axis=-1)).mean(axis=-1, keepdims=True)
    return (exposure * returns[..., HISTORY:] - cost * traded).mean(axis=1)


def uninformative(name, rng, returns, held):
    """Return the positions of a strategy without skill."""
    if name.startswith("random"):
        share = float(name.split()[1]) / 100
        return spells(rng, returns.shape, 10, share, 0.0)
    noise = spells(rng, returns.shape, 10, 0.2, 0.0)
    return np.where(noise, spells(rng, returns.shape, 10, 0.5, 0.0), held["ema"] > 0)


def judged(cells, strategies, held, returns, market):
    """Decide every run of a batch and count into `cells`."""
    others = {name: pooled(positions, returns, market.cost) for name, positions in held.items()}
    for name, positions in strategies.items():
        own = pooled(positions, returns, market.cost)
        rivals = others | {"random": random_calls(positions, returns, market.cost)}
        for run in range(len(own)):
            count(cells[name], own[run], {key: rows[run] for key, rows in rivals.items()})


def count(cell, own, rivals):
    verdict = decide(own, rivals, rivals["hold"], required=frozenset({"hold", "random"}))
    cell.words[verdict.overall] += 1
    cell.leads.append(next(p.difference for p in verdict.pairs if p.baseline == "hold"))
    cell.any_pair += any(pair.verdict == "beats" for pair in verdict.pairs)
    if verdict.detectable is not None:
        cell.detectable.append(verdict.detectable)
    cell.decayed += halves_of(own, rivals["hold"]).decayed is True


def batches(runs: int) -> Iterator[int]:
    for start in range(0, runs, BATCH):
        yield min(BATCH, runs - start)


def nulls(market, symbols, runs, seed, names=NULLS, years=10):
    """Return a cell for each strategy without skill."""
    rng = np.random.default_rng([seed, symbols])
    cells = {name: Cell(name) for name in names}
    for size in batches(runs):
        returns = market_returns(rng, (size, symbols, HISTORY + years * YEAR), market)
        held = baseline_positions(returns)
        strategies = {name: uninformative(name, rng, returns, held) for name in names}
        judged(cells, strategies, held, returns, market)
    return list(cells.values())


def plant(accuracy, hold, symbols, runs, seed, years=10, fades=False):
    """Return the cell of a strategy whose calls come true with chance `accuracy`.

    With `fades` the skill ends with the first half of the years.
    """
    rng = np.random.default_rng([seed, symbols, hold, round(accuracy * 100)])
    cell = Cell(f"right {accuracy * 100:.0f} %, {hold} d" + ", then fades" * fades)
    until = HISTORY + years * YEAR // 2 if fades else None
    for size in batches(runs):
        shape = (size, symbols, HISTORY + years * YEAR)
        signal = spells(rng, shape, hold, 0.5, 0.8 if symbols > 1 else 0.0)
        returns = market_returns(rng, shape, RISING, signal, accuracy, until)
        held = baseline_positions(returns)
        judged({cell.name: cell}, {cell.name: signal}, held, returns, RISING)
    return cell


def rate(hits: int, runs: int) -> str:
    """Return a share in % with its binomial standard error; never 0 +- 0."""
    smoothed = (hits + 1) / (runs + 2)
    error = math.sqrt(smoothed * (1 - smoothed) / runs)
    return f"{hits / runs:.1%} ± {error:.1%}".replace("%", "")


def row(cell, market, symbols):
    words = " | ".join(rate(number, cell.runs) for number in cell.words.values())
    pair = rate(cell.any_pair, cell.runs) if market == STILL.name else ""
    return (
        f"| {symbols} x 10 | {market} | {cell.name} | {cell.runs} | {np.mean(cell.leads):+.2f} |"
        f" {words} | {pair} | {rate(cell.decayed, cell.runs)} | {np.mean(cell.detectable):.2f} |\n"
    )


def rows(runs: int, seed: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| symbols x years | market | strategy | runs | mean lead | beats | does not beat "
    yield "| cannot tell | any pair | decayed | detectable |\n"
    yield "|---" * 11 + "|\n"
    for symbols in (1, 4):
        for market in (RISING, FALLING, STILL):
            for cell in nulls(market, symbols, runs, seed):
                yield row(cell, market.name, symbols)
        for accuracy in (0.53, 0.55, 0.60):
            for hold in (1, 5):
                yield row(plant(accuracy, hold, symbols, runs, seed), RISING.name, symbols)
            cell = plant(accuracy, 5, symbols, runs, seed, fades=True)
            yield row(cell, RISING.name, symbols)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="runs of each row (default 500)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    for line in rows(options.runs, options.seed):
        sys.stdout.write(line)
        sys.stdout.flush()
    sys.stdout.write(f"\nSeed {options.seed}, {time.monotonic() - began:.0f} s.\n")


if __name__ == "__main__":
    main()
