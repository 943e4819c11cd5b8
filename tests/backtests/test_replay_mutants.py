"""Deliberate errors in the replay's kernel, each seen by the comparison that guards it.

The kernel's own source is run uncompiled with one line changed, on markets where the true kernel
has been shown equal to backtrader (`test_replay.py` does that on the same generator).
"""

from __future__ import annotations

import inspect
import types
from typing import Any

import numpy as np
import pytest
from nextbar.backtests import kernel as true_kernel
from nextbar.backtests import replay as replaying
from nextbar.backtests.replay import Rules

from .test_replay import SHAPES, SHARES, Case, assert_equal, prices, shares_of

SOURCE = inspect.getsource(true_kernel)

MUTANTS = {
    "value without the entry price": ("worth = (worth - profit) + profit", "worth = worth"),
    "close leg as one product": (
        "cash += -size * entry + -size * (price - entry)",
        "cash += -size * price",
    ),
    "commission in another order": (
        "cash -= abs(size) * rate * price",
        "cash -= abs(size) * price * rate",
    ),
    "submission checked at the open": ("closing, close[t - 1], rate", "closing, price, rate"),
    "submission not checked": ("may_open = left >= 0.0", "may_open = True"),
    "second order checked from untouched cash": (
        "_cash_after(left, pos + closing,",
        "_cash_after(cash, pos + closing,",
    ),
    "no average of entry prices": (
        "entry = price if pos == 0.0 else (entry * pos + size * price) / new",
        "entry = price",
    ),
    "closing refused for lack of cash at the open": (
        "        cash += -size * entry",
        "        if cash - size * price < 0.0:\n"
        "            return cash, pos, entry, False\n"
        "        cash += -size * entry",
    ),
    "size from the open": ("units = goal * value / last", "units = goal * value / price"),
    "rounded to nearest": ("np.floor(units / step)", "np.round(units / step)"),
    "edge instead of level trigger": (
        "if wanted != side:",
        "if wanted != side and (t == 0 or direction[t] != direction[t - 1]):",
    ),
    "filled at the close": ("price, last = open_[t], close[t]", "price = last = close[t]"),
    "no guard for a ruined account": ("wanted != 0.0 and value > 0.0", "wanted != 0.0"),
    "share left out": ("goal = target * share[t] if shared else target", "goal = target"),
    "share of the bar before": ("target * share[t] if", "target * share[max(t - 1, 0)] if"),
    "share multiplied last": (
        "            units = goal * value / last\n",
        "            units = target * value / last * (share[t] if shared else 1.0)\n",
    ),
    "share of another column": ("share[shares[c]]", "share[0] * 0.5"),
    "band on the position, not its change": ("abs(size - pos) * last", "abs(size) * last"),
}


def kernel(change: tuple[str, str] | None) -> Any:
    """Return the module, uncompiled, with one change."""
    source = SOURCE.replace("from numba import njit, prange\n", "")
    if change is not None:
        assert change[0] in source
        source = source.replace(*change)
    module = types.ModuleType("nextbar.backtests.mutant")
    vars(module).update(njit=lambda *_, **__: lambda body: body, prange=range)
    exec(compile(source, "mutant", "exec"), vars(module))
    return module


def fixed_cases() -> list[Case]:
    made: list[Case] = []
    for seed in range(180):
        rng = np.random.default_rng(seed)
        rules = Rules(
            cash=[1e3, 1e4, 1e5][seed % 3],
            shorts=seed % 4 != 0,
            target=[0.95, 1.0, 3.0][seed % 3],
            step=[1.0, None, 0.001][seed // 3 % 3],
            band=[None, 0.05][seed % 2],
            hold=seed % 5 == 0,
        )
        direction = rng.integers(-1, 2, 50)
        for t in range(1, 50):
            if rng.random() < 0.6:
                direction[t] = direction[t - 1]
        bars = prices(SHAPES[seed % len(SHAPES)], 50, 10.0, seed, [None, 2][seed % 2])
        share = shares_of(SHARES[seed // 2 % len(SHARES)] if seed >= 120 else "none", 50, rng)
        made.append(Case(bars, direction, [0.0, 5.0, 100.0][seed % 3], rules, share))
    return made


CASES = fixed_cases()


def outcome(case: Case) -> bytes:
    found = case.replayed()
    return b"".join(getattr(found, part).tobytes() for part in ("equity", "position", "fills"))


@pytest.fixture(scope="module")
def truth() -> list[bytes]:
    for case in CASES:
        assert_equal(case)  # the true kernel is equal to backtrader on all of them
    return [outcome(case) for case in CASES]


def test_uncompiled_is_equal(truth: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "kernel", kernel(None))
    assert [outcome(case) for case in CASES] == truth


@pytest.mark.parametrize("name", MUTANTS)
def test_every_deliberate_error_is_seen(
    name: str, truth: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "kernel", kernel(MUTANTS[name]))
    with np.errstate(all="ignore"):
        assert any(outcome(case) != true for case, true in zip(CASES, truth, strict=True))
