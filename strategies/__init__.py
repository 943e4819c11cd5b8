"""From directions to orders: one order logic, shared by every signal and by buy & hold."""

from .follow import FollowDirection
from .hold import BuyAndHold

__all__ = ["BuyAndHold", "FollowDirection"]
