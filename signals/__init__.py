"""What the bars say: bars, models, and direction indicators for backtrader."""

from .indicators import EMADirection, LSTMDirection, MomentumDirection, SeriesDirection
from .model import load_model, sample_model
from .sources import load_bars, sample_bars

__all__ = [
    "EMADirection",
    "LSTMDirection",
    "MomentumDirection",
    "SeriesDirection",
    "load_bars",
    "load_model",
    "sample_bars",
    "sample_model",
]
