"""Directions that say as well how much of the target to take: a third line, `share`."""

# backtrader carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import FloatArray
from .direction import DirectionIndicator

__all__ = ["ShareDirection"]


class ShareDirection(DirectionIndicator):
    """A direction whose line ``share``, in [0, 1], scales what `FollowDirection` invests.

    It is 1 while warming up.
    """

    lines: Any = ("share",)

    def _share(self, score: FloatArray) -> FloatArray:
        """Return the shares of scores, both of shape (n,)."""
        raise NotImplementedError

    def prenext(self) -> None:
        """Give no opinion while warming up."""
        super().prenext()
        self.lines.share[0] = 1.0

    def next(self) -> None:
        """Score the newest bar."""
        super().next()
        self.lines.share[0] = float(self._share(np.array([self.lines.score[0]]))[0])

    def preonce(self, start: int, end: int) -> None:
        """Give no opinion while warming up."""
        super().preonce(start, end)
        np.asarray(self.lines.share.array)[start:end] = 1.0

    def once(self, start: int, end: int) -> None:
        """Score the bars `start` to `end` in one go."""
        super().once(start, end)
        score = np.asarray(self.lines.score.array)[start:end]
        np.asarray(self.lines.share.array)[start:end] = self._share(score)
