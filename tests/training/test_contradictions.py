"""Options that exclude each other are refused at once; all that is accepted trains."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from nextbar.signals import load_model
from nextbar.training import TrainingConfig, contradictions, train
from nextbar.training.config import FEATURES, FIELDS, RATIOS
from nextbar.training.heads import HEADS
from nextbar.training.networks import ARCHITECTURES

from .tiny import BARS, TEST_START, VALIDATION_START

FORECAST = {"head": "forecast", "target": "close"}
ROLLOUT = {"head": "forecast", "rollout": True, "features": ("open",), "scaling": "minmax"}
ROW = FORECAST | {"features": ("open", "volume"), "flaws": ("row-against-one-output",)}
RELU = {"head": "forecast", "features": ("open",), "scaling": "minmax", "flaws": ("relu-head",)}
INPUT = {"head": "forecast", "augment": 2, "flaws": ("label-is-input",)}

CASES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"features": ()}, ("features",)),
    ({"architecture": "vanilla", "units": (3, 2)}, ("vanilla", "units")),
    ({"filters": 8}, ("filters", "architecture = 'stacked'")),
    ({"kernel": 5, "architecture": "vanilla"}, ("kernel", "architecture = 'vanilla'")),
    ({"filters": 8, "architecture": "bidirectional"}, ("filters", "'bidirectional'")),
    ({"turnover_penalty": 0.0}, ("turnover_penalty", "head = 'direction'")),
    (FORECAST | {"turnover_penalty": 0.001}, ("turnover_penalty", "head = 'forecast'")),
    ({"least_rate": 1e-5}, ("least_rate", "plateau")),
    ({"rollout": True}, ("rollout", "direction")),
    ({"augment": 3}, ("augment", "direction")),
    ({"steps": "every"}, ("steps", "direction")),
    ({"fields": ("close",), "head": "position"}, ("fields", "position")),
    ({"head": "forecast", "fields": ()}, ("fields",)),
    ({"head": "position", "batch_size": 1}, ("position", "batch_size")),
    ({"head": "position", "target": "close"}, ("position", "target = 'close'")),
    ({"blocks": 2, "scaling": "window"}, ("blocks", "scaling = 'window'")),
    (ROLLOUT | {"fields": ("close",)}, ("rollout", "features", "fields")),
    (ROLLOUT | {"features": ("open", "close")}, ("rollout", "features", "fields")),
    (ROLLOUT | {"fields": ("open", "close"), "features": ("open", "close")}, ("rollout", "fields")),
    (ROLLOUT | {"steps": "every"}, ("rollout", "steps = 'every'")),
    (ROLLOUT | {"scaling": "window"}, ("rollout", "'window'")),
    (ROLLOUT | {"scaling": "rank"}, ("rollout", "'rank'")),
    (ROLLOUT | {"cell": "gru"}, ("rollout", "cell", "'gru'")),
    (ROLLOUT | {"cell": "peephole"}, ("rollout", "cell", "'peephole'")),
    (ROLLOUT | {"architecture": "bidirectional"}, ("rollout", "architecture = 'bidirectional'")),
    (ROLLOUT | {"architecture": "convolutional"}, ("rollout", "architecture = 'convolutional'")),
    ({"stateful": True, "scaling": "window"}, ("stateful", "scaling = 'window'")),
    ({"stateful": True, "scaling": "rank"}, ("stateful", "scaling = 'rank'")),
    ({"stateful": True, "architecture": "bidirectional"}, ("stateful", "'bidirectional'")),
    ({"stateful": True, "architecture": "convolutional"}, ("stateful", "'convolutional'")),
    ({"stateful": True, "head": "position"}, ("stateful", "head = 'position'")),
    ({"flaws": ("scaler-on-all-data",), "blocks": 2}, ("scaler-on-all-data", "blocks = 1")),
    ({"flaws": ("scaler-on-all-data",), "scaling": "window"}, ("scaler-on-all-data", "'window'")),
    (INPUT | {"augment": 1}, ("label-is-input", "augment")),
    (INPUT | {"target": "close", "horizon": 2}, ("label-is-input", "next bar")),
    ({"flaws": ("label-is-input",)}, ("label-is-input", "forecast")),
    (ROW | {"target": "open"}, ("row-against-one-output", "target = 'close'")),
    (ROW | {"features": ("open", "return")}, ("row-against-one-output", "features")),
    (ROW | {"features": ("open",)}, ("row-against-one-output", "features")),
    (ROW | {"fields": ("open", "close")}, ("row-against-one-output", "one forecast")),
    (ROW | {"scaling": "rank"}, ("row-against-one-output", "scaling")),
    (ROW | {"scaling": "window"}, ("row-against-one-output", "scaling")),
    (RELU | {"head": "direction"}, ("relu-head", "head = 'forecast'")),
    (RELU | {"scaling": "standard"}, ("relu-head", "scaling = 'minmax'")),
    (RELU | {"features": ("return",)}, ("relu-head", "prices")),
]


@pytest.mark.parametrize(("options", "named"), CASES, ids=lambda value: str(value)[:60])
def test_refused_by_name(options: dict[str, Any], named: tuple[str, ...]) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        TrainingConfig(**options)
    assert all(word in str(caught.value.errors()[0]["msg"]) for word in named), caught.value


@pytest.mark.parametrize("options", [{}, FORECAST, ROLLOUT, ROW, RELU, INPUT])
def test_what_the_cases_begin_from_is_accepted(options: dict[str, Any]) -> None:
    TrainingConfig(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "convolutional", "filters": 8, "kernel": 5},
        {"head": "position", "turnover_penalty": 0.0},
        {"plateau": 2, "least_rate": 1e-5},
        FORECAST | {"steps": "every", "augment": 2, "fields": ("close",)},
    ],
)
def test_options_of_a_part_are_accepted_beside_it_alone_or_as_by_default(
    options: dict[str, Any],
) -> None:
    config = TrainingConfig(**options)
    plain = {name: value for name, value in TrainingConfig() if name in options}
    switch = next(iter(options))
    without = {name: value for name, value in options.items() if name != switch}
    with pytest.raises(pydantic.ValidationError, match="leave one of them out"):
        TrainingConfig(**without)
    assert TrainingConfig(**plain) == TrainingConfig()
    # A table that changes only some options of another can go back.
    assert TrainingConfig.model_validate(config.model_dump() | plain) == TrainingConfig()


def test_an_architecture_that_was_added_may_look_at_every_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "own", ARCHITECTURES["convolutional"])
    assert TrainingConfig(architecture="own", filters=8, kernel=5).filters == 8
    monkeypatch.setitem(HEADS, "own", HEADS["position"])
    assert TrainingConfig(head="own", turnover_penalty=0.0).turnover_penalty == 0


def said_at(options: dict[str, Any]) -> set[int]:
    """Return the lines that find a contradiction in `options`."""
    config, lines = TrainingConfig.model_construct(**options), set[int]()
    found = contradictions._found(config)
    for _ in found:
        inner: Any = found
        while inner.gi_yieldfrom is not None:
            inner = inner.gi_yieldfrom
        lines.add(inner.gi_frame.f_lineno)
    return lines


def test_every_contradiction_has_a_case() -> None:
    tree = ast.parse(inspect.getsource(contradictions))
    wanted = [
        {line.lineno for line in ast.walk(node) if hasattr(line, "lineno")}
        for node in ast.walk(tree)
        if isinstance(node, ast.Yield)
    ]
    reached = set[int]().union(*(said_at(options) for options, _ in CASES))
    assert len(wanted) > 12
    assert all(lines & reached for lines in wanted)


# --- what is accepted trains ---------------------------------------------------------------------

ANY: dict[str, st.SearchStrategy[Any]] = {
    "head": st.sampled_from(["direction", "forecast", "position"]),
    "architecture": st.sampled_from(["vanilla", "stacked", "bidirectional", "convolutional"]),
    "cell": st.sampled_from(["lstm", "gru", "peephole"]),
    "units": st.sampled_from([(2,), (2, 3)]),
    "dropout": st.sampled_from([0.0, 0.3]),
    "recurrent_dropout": st.sampled_from([0.0, 0.3]),
    "features": st.one_of(
        st.sampled_from([(name,) for name in FIELDS]),
        st.lists(st.sampled_from(RATIOS), min_size=1, max_size=3, unique=True).map(tuple),
        st.lists(st.sampled_from(FEATURES), min_size=1, max_size=3, unique=True).map(tuple),
    ),
    "scaling": st.sampled_from(["standard", "minmax", "robust", "rank", "window"]),
    "window": st.integers(3, 7),
    "horizon": st.integers(1, 3),
    "target": st.sampled_from(["open", "close"]),
    "optimizer": st.sampled_from(["adam", "rmsprop", "sgd"]),
    "clip_norm": st.sampled_from([None, 1.0]),
    "plateau": st.sampled_from([None, 1]),
    "patience": st.sampled_from([None, 3]),
    "smooth": st.sampled_from([None, 0.3]),
    "blocks": st.integers(1, 2),
    "stateful": st.booleans(),
    "flaws": st.lists(
        st.sampled_from(
            ["scaler-on-all-data", "validation-is-test", "unpurged-horizon", "relu-head"]
        ),
        max_size=1,
    ).map(tuple),
}
OF_FORECASTS: dict[str, st.SearchStrategy[Any]] = {
    "fields": st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2, unique=True).map(tuple),
    "steps": st.sampled_from(["last", "every"]),
    "augment": st.sampled_from([0, 3]),
    "rollout": st.booleans(),
}


@st.composite
def accepted(draw: Any) -> TrainingConfig:
    options = {name: draw(strategy) for name, strategy in ANY.items()}
    if options["head"] == "forecast":
        options |= {name: draw(strategy) for name, strategy in OF_FORECASTS.items()}
        if options["rollout"]:  # else hardly one is accepted
            options["features"] = options["fields"] = options["fields"][:1]
            options |= {"steps": "last", "cell": "lstm"}
    try:
        if options["architecture"] == "convolutional":
            options |= {"filters": 3, "kernel": 2}
        return TrainingConfig(**options, epochs=1, batch_size=64)
    except pydantic.ValidationError:
        assume(False)
        raise


@given(config=accepted())
@settings(
    deadline=None,
    max_examples=10,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_what_is_accepted_trains(config: TrainingConfig, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.mktemp("any") / "any.onnx"
    dates = {"validation_start": VALIDATION_START, "test_start": TEST_START}
    trained = train(BARS, config, path, **dates)
    assert len(trained.history) == 1
    model = load_model(path)
    assert model.card == trained.card
    assert model.card.known_flaws == config.flaws
    scores = model.score(BARS.to_numpy())
    assert scores.shape == (len(BARS) - config.window + 1,)
    assert np.isfinite(scores).all()
    if config.head == "forecast":
        prices = model.forecast(BARS.to_numpy())
        assert prices.shape == (len(scores), len(config.columns))
        assert np.isfinite(prices).all()
