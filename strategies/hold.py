"""Buy & hold: the benchmark every signal has to beat."""
# backtrader carries no type information: only the reports about that are switched off.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from ..signals.errors import ExperimentError
from .follow import FollowDirection

__all__ = ["BuyAndHold"]


class BuyAndHold(FollowDirection):
    """Go long at the first open after `first` and stay long.

    Same sizing, cash buffer and costs as `FollowDirection`, of which it takes all settings except
    `signal`. With `band` it holds a constant share of the account.
    """

    def make_signal(self) -> None:
        """Return None: no indicator is needed."""
        if self.p.signal is not None:
            raise ExperimentError(
                "BuyAndHold is always long and takes no `signal`; use FollowDirection for "
                f"{self.p.signal!r}."
            )

    def decide(self) -> int:
        """Return +1 on every bar."""
        return 1
