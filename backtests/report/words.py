"""What the report says in words of a verdict, a strategy, and a figure."""

from __future__ import annotations

__all__ = ["ABOUT", "IDLE", "MEANINGS", "NO_VERDICT", "PLACEBO_NOTES"]

MEANINGS = {
    "beats": (
        "It earned more for its risk than every baseline, by more than luck and the number of"
        " trials explain, and not just by being more or less in the market."
    ),
    "does not beat": (
        "At least one baseline does as well, or nearly: an advantage over it that would be worth"
        " having is ruled out."
    ),
    "cannot tell": (
        "On these days skill cannot be told from luck. This does not mean that the LSTM and its"
        " baselines are equally good."
    ),
}
"""What each word of the verdict means."""

IDLE = {
    "direction": "Dashed: ln 2, what always answering 50 % comes to.",
    "position": "Dashed: 0, what staying out of the market comes to.",
    "forecast": "",
}
"""What the dashed line of a loss curve means, by head."""

NO_VERDICT = "Without one series of returns there is nothing to judge: see each symbol by itself."

PLACEBO_NOTES = {
    "foresight": "knows the next move: the most that these bars and costs allow",
    "inverted": "the same calls upside down: should it do as well, the calls say nothing",
    "shuffled": "trained on labels in random order: what is earned without anything to learn",
}
"""What each placebo shows."""

ABOUT = {
    "lstm": "long while the network calls up: a probability above one half, or a forecast move or"
    " position above zero",
    "ema": "long while the fast moving average is above the slow one",
    "momentum": "long after a rise over the look-back",
    "mean": "long while the mean of all returns so far is above zero",
    "reversal": "long after a bar that fell",
    "majority": "always the commoner direction of the bars before the fold",
    "logistic": "the LSTM's inputs and labels with a logistic regression in its place",
    "buy_and_hold": "buys once and holds",
    "volatility": "buy & hold, made smaller while the market is more volatile than the target",
    "random": "equal money in many callers, each with the LSTM's own calls moved round in time",
    "rival_average": "long while the mean of the last 100 prices is above today's price",
    "rival_ema_forecast": "long while the exponential average of prices is above today's price",
    "rival_linear": "long when a linear regression on the last ten prices forecasts a rise",
    "rival_knn": "long when the 25 most similar past stretches were followed by a rise on average",
    "rival_arima": "long when an ARIMA model forecasts a rise",
    "rival_prophet": "long while Prophet's trend rises",
} | PLACEBO_NOTES
"""What each strategy does."""
