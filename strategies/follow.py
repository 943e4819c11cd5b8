"""Follow the direction of one indicator with market orders."""
# backtrader carries no type information: only the reports about that are switched off.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import backtrader as bt

from ..signals.errors import BarsError, ExperimentError, did_you_mean
from .sizing import units

__all__ = ["FollowDirection"]

ON_ZERO = ("flat", "hold")


class FollowDirection(bt.Strategy):
    """Hold the position that an indicator's ``direction`` line asks for.

    A decision is made at the close of a bar and filled at the open of the next one. The position
    wanted is compared with the position held on every bar, so an opening that was refused is tried
    again at the next close. A reversal sends two market orders, the closing one first: a refused
    opening then never keeps the old position alive.

    Parameters
    ----------
    signal : callable
        An indicator class with a ``direction`` line in {-1, 0, +1}, or a `functools.partial` of
        one: called as ``signal(self.data)``. If it has a line ``share``, in [0, 1], the position
        is that share of `target`.
    shorts : bool, default False
        False is long/flat: a direction of -1 means no position. True goes short on -1.
    target : float, default 0.95
        Share of the account value to invest. The rest is a cash buffer: an opening is refused
        when the next open is so far above the close that the cash does not suffice.
    band : float or None, default None
        None keeps the units until the direction changes. A number rebalances to `target` when the
        position is off by more than this share of the account value; it then follows the line
        ``share``, which else counts only when a position is opened.
    step : float or None, default 1.0
        Lot size; None trades fractions.
    on_zero : {"flat", "hold"}, default "flat"
        What a direction of 0 means: no position, or keep the side of the position held.
    first : datetime.date, datetime.datetime, ISO str or None, default None
        No decision is made on bars before it, so that strategies with different warm-ups start
        on the same bar.

    Attributes
    ----------
    desired : int
        The side wanted at the close of the current bar, after `shorts` and `on_zero`; 0 while
        warming up and before `first`.

    Notes
    -----
    Subclasses override `decide`; the order logic has this one home.
    """

    params = (
        ("signal", None),
        ("shorts", False),
        ("target", 0.95),
        ("band", None),
        ("step", 1.0),
        ("on_zero", "flat"),
        ("first", None),
    )

    def __init__(self) -> None:
        self.desired = 0
        self.signal = self.make_signal()

    def make_signal(self) -> Any:
        """Return the indicator to follow; None for a strategy that needs none."""
        if not callable(self.p.signal):
            raise ExperimentError(
                "FollowDirection needs `signal`, an indicator class such as EMADirection or "
                f"functools.partial(EMADirection, fast=10); got {self.p.signal!r}."
            )
        signal: Any = self.p.signal(self.data)
        if "direction" not in signal.lines.getlinealiases():
            raise ExperimentError(
                f"`signal` must have a line named 'direction'; {type(signal).__name__} has "
                f"{', '.join(signal.lines.getlinealiases())}."
            )
        return signal

    def start(self) -> None:
        """Refuse settings that would look ahead or that make no sense."""
        self._check_timing()
        self._check_params()
        self._first = _date_number(self.p.first)
        # Looked up once; a strategy that needs no signal has none.
        self._share: Any = getattr(getattr(self.signal, "lines", None), "share", None)

    def stop(self) -> None:
        """Refuse a history that was too short for one decision: it must not pass as "no trade"."""
        warm_up = max(self._minperiods) - 1
        if len(self) <= warm_up:
            raise BarsError(
                f"{len(self)} bars, but {type(self).__name__} warms up for {warm_up}: no decision"
                " was made. Load an earlier start."
            )

    def decide(self) -> float:
        """Return the direction at this bar's close: -1, 0 or +1."""
        return self.signal.lines.direction[0]

    def next(self) -> None:
        """Compare the position held with the one wanted, and send the orders between them."""
        if self.data.datetime[0] < self._first:
            return
        position, price = self.position.size, self.data.close[0]
        value = self.broker.getvalue()
        self.desired = self._side_wanted(position)
        target = self.p.target if self._share is None else self.p.target * self._share_wanted()
        size = units(self.desired, value, price, target, self.p.step)
        if self.desired != _sign(position):
            self._send(-position)
            self._send(size)
        elif self._outside_band(size - position, price, value):
            self._send(size - position)

    def _side_wanted(self, position: float) -> int:
        direction = self.decide()
        if direction not in (-1, 0, 1):  # true for NaN as well
            raise ExperimentError(
                f"{type(self).__name__} at {self.data.datetime.datetime(0)}: a direction must be "
                f"-1, 0 or +1, got {direction}. Map a probability or a forecast to one first."
            )
        if direction == 0 and self.p.on_zero == "hold":
            return _sign(position)
        return int(direction) if self.p.shorts else max(int(direction), 0)

    def _share_wanted(self) -> float:
        share = self._share[0]
        if not 0 <= share <= 1:  # true for NaN as well
            raise ExperimentError(
                f"{type(self).__name__} at {self.data.datetime.datetime(0)}: the line `share` must"
                f" be from 0 to 1, got {share}. Scale it, and use `target` for more."
            )
        return share

    def _outside_band(self, change: float, price: float, value: float) -> bool:
        return self.p.band is not None and abs(change) * price > self.p.band * value

    def _send(self, size: float) -> None:
        # A size of None would let the sizer choose one; a size of 0 must not become an order.
        if size > 0:
            self.buy(size=size)
        elif size < 0:
            self.sell(size=-size)

    def _check_timing(self) -> None:
        broker = self.broker.p
        on_open = self.cerebro.p.cheat_on_open or getattr(broker, "coo", False)
        for name, active in (("close", getattr(broker, "coc", False)), ("open", on_open)):
            if active:
                raise ExperimentError(
                    f"cheat-on-{name} is on: orders would fill at a price of the bar they were "
                    f"decided on. Remove `set_co{name[0]}(True)` or `cheat_on_{name}=True`; "
                    "decisions fill at the next open."
                )
        if len(self.datas) != 1:
            raise ExperimentError(
                f"{type(self).__name__} trades one data feed, found {len(self.datas)}. "
                "Give each symbol a Cerebro of its own."
            )

    def _check_params(self) -> None:
        p = self.p
        if p.on_zero not in ON_ZERO:
            raise ExperimentError(
                f"on_zero must be 'flat' or 'hold', got {p.on_zero!r}."
                f"{did_you_mean(str(p.on_zero), ON_ZERO)}"
            )
        if not 0 < p.target < math.inf:
            raise ExperimentError(
                f"target must be a positive share of the account, such as 0.95; got {p.target!r}."
            )
        if p.step is not None and not 0 < p.step < math.inf:
            raise ExperimentError(
                f"step must be a positive lot size, or None for fractions; got {p.step!r}."
            )
        if p.band is not None and not p.band >= 0:
            raise ExperimentError(
                "band must be a share of the account of at least 0, or None to rebalance only when "
                f"the direction changes; got {p.band!r}."
            )


def _sign(x: float) -> int:
    return (x > 0) - (x < 0)


def _date_number(first: dt.date | str | None) -> float:
    """Return `first` in backtrader's day numbers, -inf for None."""
    if first is None:
        return -math.inf
    if isinstance(first, str):
        try:
            first = dt.datetime.fromisoformat(first)
        except ValueError as error:
            raise ExperimentError(
                f"first must be a date such as '2015-01-02'; got {first!r}."
            ) from error
    return bt.date2num(first)
