"""What people type for a training: values, lists, and what stands for none."""

from __future__ import annotations

from typing import Any

import pytest
from nextbar.backtests.inputs import training_config


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("patience=none", "patience", None),
        ("patience=0", "patience", None),
        ("augment=0", "augment", 0),
        ("units=[8, 4]", "units", (8, 4)),
        ("units=8,4", "units", (8, 4)),
        ("flaws=none", "flaws", ()),
        ("stateful=true", "stateful", True),
        ("learning_rate=1e-4", "learning_rate", 1e-4),
    ],
)
def test_a_setting(text: str, name: str, value: Any) -> None:
    found = training_config(None, None, None, None, None, None, [text])
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(value)
