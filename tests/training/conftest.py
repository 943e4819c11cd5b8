"""Models trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from nextbar.training import TrainingConfig, train
from nextbar.training.fit import Trained

from ..markets import random_bars

SMALL = TrainingConfig(units=(4,), window=8, epochs=3, batch_size=64)
VALIDATION_START, TEST_START = "2002-06-03", "2003-01-01"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # keras 3.15 reads its variables with numpy 1's `__array__`.
    keras = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(keras)


@pytest.fixture(scope="session")
def bars() -> pd.DataFrame:
    """About two years before the test period and one after its start."""
    return random_bars(750, seed=4)


@pytest.fixture(scope="session")
def small(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(
        bars,
        SMALL,
        tmp_path_factory.mktemp("small") / "small.onnx",
        validation_start=VALIDATION_START,
        test_start=TEST_START,
    )
