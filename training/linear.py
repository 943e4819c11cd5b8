"""Logistic regression on the network's own features: what the LSTM has to beat to be worth it."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..signals.arrays import FloatArray
from .backend import repeatable_tensorflow
from .config import TrainingConfig
from .convert import Traced
from .course import Part
from .measures import log_loss
from .template import trace_for_reuse

__all__ = ["PENALTIES", "Linear", "fit_linear", "linear_for"]

PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Scikit-learn's C, strongest penalty first; the validation part chooses."""

ITERATIONS = 2000


@dataclass(frozen=True)
class Linear:
    """The process's one network of a shape, to be filled with the weights of a regression."""

    network: Any
    traced: Traced


def fit_linear(linear: Linear, train: Part, check: Part) -> float:
    """Overwrite all weights of `linear`, and return the C with the least validation log loss.

    Scaling is taken from the training part, as for the LSTM. Of equally good C the smallest wins.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    features, scaling = (linear.network.get_layer(name) for name in ("features", "scaling"))
    computed = [features(part.windows) for part in (train, check)]
    scaling.adapt(computed[0].numpy())
    x, x_check = (_flat(scaling(part).numpy()) for part in computed)
    candidates = [LogisticRegression(C=penalty, max_iter=ITERATIONS) for penalty in PENALTIES]
    with threadpool_limits(1):  # as tensorflow: sums depend on the number of threads
        losses = [
            log_loss(model.fit(x, train.up).predict_proba(x_check)[:, 1], check.up)
            for model in candidates
        ]
    best = int(np.argmin(losses))
    model: Any = candidates[best]
    weights = [model.coef_.T, model.intercept_]
    linear.network.get_layer("linear").set_weights([w.astype(np.float32) for w in weights])
    return PENALTIES[best]


def linear_for(config: TrainingConfig) -> Linear:
    """Return the process's one network for the inputs of `config`."""
    inputs = config.model_dump(include={"features", "window", "scaling"})
    return _linear(TrainingConfig(**inputs).model_dump_json())


@lru_cache(maxsize=4)
def _linear(config: str) -> Linear:
    repeatable_tensorflow()
    from .networks import build_linear

    network = build_linear(TrainingConfig.model_validate_json(config))
    return Linear(network, trace_for_reuse(network))


def _flat(features: Any) -> FloatArray:
    return features.reshape(len(features), -1).astype(np.float64)
