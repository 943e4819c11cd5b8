"""What makes a training repeat: seeds, and no state that a fit would not overwrite."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..signals.errors import ModelError
from .config import TrainingConfig

__all__ = ["check_states", "seeded"]

STATEFUL = {
    "Multinomial", "RandomGamma", "RandomPoissonV2", "RandomShuffle", "RandomStandardNormal",
    "RandomUniform", "RandomUniformInt", "TruncatedNormal",
}  # fmt: skip
"""Operations of tensorflow that keep a random state of their own."""


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Seed Python's generator, from which keras draws all of its seeds, and numpy's; put them back.

    keras' own set_random_seed would also empty tensorflow's cache of kernels, and every traced
    function would be set up again: half the time of a small fit.
    """
    before, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)  # noqa: NPY002


def check_states(traced: Any, own: Sequence[Any], config: TrainingConfig) -> None:
    """Refuse a pass with a state that no fit would overwrite: it would never repeat."""
    graph = traced.get_concrete_function().graph
    mine = {variable.value.ref() for variable in own}
    whole = graph.as_graph_def()
    bodies = [whole.node, *(body.node_def for body in whole.library.function)]
    drawn = {node.op for nodes in bodies for node in nodes} & STATEFUL
    if drawn or any(variable.ref() not in mine for variable in graph.variables):
        raise ModelError(
            f"architecture {config.architecture!r} draws random numbers that a second training"
            " would not draw again: give the layer a keras.random.SeedGenerator of its own, and"
            " keras.random its seed=."
        )
