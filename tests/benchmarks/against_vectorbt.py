"""The replay beside vectorbt on the same orders: ``python -m tests.benchmarks.against_vectorbt``.

Needs vectorbt, which is no dependency. Prints, for each number of accounts, the median ratio of
paired runs, the peak memory of each side in a process of its own, and whether the accounts agree;
fails when vectorbt is less than 5 times slower or takes less memory. ``--bars 5000`` is a quick
look.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nextbar.backtests.replay import Rules, replay

ACCOUNTS = (1, 20, 500)
BOUND = 5.0
RATE = 0.0005
CASH = 100_000.0


def market(accounts: int, bars: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return open, close and directions, each (accounts, bars), that change every 20 bars or so."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.01, (accounts, bars))
    close = 100 * np.exp(np.cumsum(steps - steps.mean(axis=1, keepdims=True), axis=1))
    open_ = np.roll(close, 1, axis=1) * np.exp(rng.normal(0, 0.002, (accounts, bars)))
    open_[:, 0] = 100.0
    flips = rng.random((accounts, bars)) < 0.05
    direction = np.where(np.cumsum(flips, axis=1) % 2 == 0, 1, -1).astype(np.int8)
    return open_, close, direction


def ours(open_: np.ndarray, close: np.ndarray, direction: np.ndarray) -> Any:
    costs = np.full(len(open_), RATE * 1e4)
    return replay(open_, close, direction, costs, Rules(shorts=True, cash=CASH))


def vectorbts(open_: Any, close: Any, sizes: Any) -> np.ndarray:
    """Return the account values, (bars, accounts); all arguments are of that shape."""
    import vectorbt as vbt  # pyright: ignore[reportMissingImports]

    portfolio = vbt.Portfolio.from_orders(
        close, size=sizes, price=open_, fees=RATE, init_cash=CASH, freq="D"
    )
    return portfolio.value().to_numpy()


def sizes_of(position: np.ndarray) -> np.ndarray:
    """Return the orders between positions, (bars, accounts): a reversal is one order there."""
    sizes = np.diff(position, axis=1, prepend=0.0)
    return np.ascontiguousarray(np.where(sizes == 0, np.nan, sizes).T)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def compared(accounts: int, bars: int, seed: int) -> tuple[float, float, float]:
    """Return the seconds of both and the largest relative difference of the account values."""
    import pandas as pd

    open_, close, direction = market(accounts, bars, seed)
    mine, done = timed(lambda: ours(open_, close, direction))
    sizes = sizes_of(done.position)
    index = pd.date_range("1900-01-01", periods=bars)
    prices, fills = pd.DataFrame(close.T.copy(), index), pd.DataFrame(open_.T.copy(), index)
    frame = pd.DataFrame(sizes, index)
    theirs, values = timed(lambda: vectorbts(fills, prices, frame))
    off = float(np.max(np.abs(values.T - done.equity) / np.abs(done.equity)))
    return mine, theirs, off


def peaks(accounts: int, bars: int) -> list[float]:
    """Return the peak memory in GB of a process for each side that loads its input and runs."""
    open_, close, direction = market(accounts, bars, 0)
    sizes = sizes_of(ours(open_, close, direction).position)
    with tempfile.TemporaryDirectory() as folder:
        for side, third in (("nextbar", direction), ("vectorbt", sizes)):
            flip = side == "vectorbt"
            for name, values in (("open", open_), ("close", close), ("third", third)):
                turned = np.ascontiguousarray(values.T) if flip and name != "third" else values
                np.save(f"{folder}/{side}-{name}.npy", turned)
        command = [sys.executable, "-m", "tests.benchmarks.against_vectorbt", "--peak", folder]
        done = [
            subprocess.run([*command, side], check=True, capture_output=True, text=True).stdout
            for side in ("nextbar", "vectorbt")
        ]
    return [float(text) for text in done]


def print_peak(folder: str, side: str) -> None:
    import pandas as pd

    arrays = [np.load(f"{folder}/{side}-{name}.npy") for name in ("open", "close", "third")]
    if side == "nextbar":
        ours(*arrays)
    else:
        vectorbts(*(pd.DataFrame(values, copy=False) for values in arrays))
    # Not getrusage: its peak is inherited from the parent process.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    sys.stdout.write(str(int(status.split("VmHWM:")[1].split()[0]) / 1e6))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print_peak(*given.peak)
        return 0
    compared(1, 1_000, 0)  # compiles both
    compared(20, 1_000, 0)
    failed = False
    for accounts in ACCOUNTS:
        runs = [compared(accounts, given.bars, seed) for seed in range(1, given.repeats + 1)]
        ratio = statistics.median(theirs / mine for mine, theirs, _ in runs)
        mine, theirs = (statistics.median(run[i] for run in runs) for i in (0, 1))
        memory = peaks(accounts, given.bars)
        off = max(run[2] for run in runs)
        failed |= not (ratio >= BOUND and memory[0] < memory[1] and off < 1e-6)
        sys.stdout.write(
            f"{accounts:4d} accounts of {given.bars:,} bars: {ratio:6.1f} x  ({mine:.4f} s,"
            f" vectorbt {theirs:.4f} s); memory {memory[0]:.2f} GB, vectorbt {memory[1]:.2f} GB;"
            f" largest difference {off:.0e}\n"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
