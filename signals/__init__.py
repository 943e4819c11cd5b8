"""What the bars say: bars, models, and direction indicators for backtrader."""

from .baselines import (
    ConstantDirection,
    EMADirection,
    MomentumDirection,
    ReversalDirection,
    RuleDirection,
)
from .indicators import LSTMDirection, SeriesDirection
from .model import load_model, sample_model
from .running import MeanDirection, VolatilityTargetDirection
from .sources import load_bars, sample_bars

__all__ = [
    "ConstantDirection",
    "EMADirection",
    "LSTMDirection",
    "MeanDirection",
    "MomentumDirection",
    "ReversalDirection",
    "RuleDirection",
    "SeriesDirection",
    "VolatilityTargetDirection",
    "load_bars",
    "load_model",
    "sample_bars",
    "sample_model",
]
