"""The cautions on an LSTM that has learnt nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from nextbar.backtests.summarise import _idle, _refusals


def result(*direction: float, gain: float = 0.01) -> Any:
    returns = pd.Series([gain] * len(direction))
    return SimpleNamespace(direction=pd.Series(direction), returns=returns)


@pytest.mark.parametrize(
    ("lstm", "shuffled", "said"),
    [
        (result(0.0, 0.0), None, ["A: the LSTM called up on no bar of the test."]),
        (result(-1.0, 0.0), result(-1.0, 0.0), ["A: the LSTM called up on no bar of the test."]),
        (result(1.0, 1.0), result(1.0, 1.0), ["A: the LSTM called up on every bar of the test."]),
        (result(1.0, -1.0), result(1.0, 0.0), ["in random order, on every bar: it has learnt"]),
        (result(1.0, -1.0), result(1.0, 0.0, gain=0.02), []),
        (result(1.0, 0.0), None, []),
    ],
)
def test_an_lstm_that_learnt_nothing_is_named(lstm: Any, shuffled: Any, said: list[str]) -> None:
    results = {"lstm": lstm} | ({} if shuffled is None else {"shuffled": shuffled})
    found = list(_idle("A", results))
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))


@pytest.mark.parametrize(("number", "said"), [(1, "1 order was refused"), (2, "2 orders were")])
def test_refused_orders_are_counted(number: int, said: str) -> None:
    part: Any = SimpleNamespace(results={"ema": SimpleNamespace(rejected=[0] * number)})
    (text,) = _refusals({"A": part})
    assert text.startswith(said)
