"""Train the model that comes with nextbar: ``python -m nextbar.training.make_sample_model``."""

from __future__ import annotations

import sys

from ..signals.model import sample_model
from ..signals.sources import sample_bars
from .config import TrainingConfig
from .fit import train

VALIDATION_START, TEST_START = "2008-01-01", "2010-01-01"


def main() -> None:
    """Train on AAPL before 2010 with the default configuration, and write the file in place."""
    trained = train(
        sample_bars("AAPL"),
        TrainingConfig(),
        sample_model(),
        validation_start=VALIDATION_START,
        test_start=TEST_START,
    )
    sys.stdout.write(f"{trained.path}: {trained.card.certificate}\n")


if __name__ == "__main__":
    main()
