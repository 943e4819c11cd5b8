"""The loop on a shared network: it trains as keras does, and nothing of a fit stays behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
from nextbar.signals.errors import ModelError
from nextbar.training import loop
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import TrainingConfig
from nextbar.training.course import Course, Part
from nextbar.training.loop import Loop, loop_for
from nextbar.training.measures import log_loss

from ..markets import random_bars

tf = repeatable_tensorflow()

import keras  # noqa: E402
from nextbar.signals.windows import windows_of  # noqa: E402
from nextbar.training.networks import (  # noqa: E402
    ARCHITECTURES,
    build_network,
    recurrent_layer,
)

CONFIG = TrainingConfig(units=(4,), window=6, epochs=3, batch_size=32, dropout=0.3)


def part(n: int = 150, seed: int = 0, window: int = 6) -> Part:
    windows = windows_of(random_bars(n, seed=seed).to_numpy(np.float32), window)
    up = np.random.default_rng(seed).integers(0, 2, len(windows)).astype(np.float64)
    return Part(np.ascontiguousarray(windows), up, up[:, None, None])


def fitted(loop: Loop, config: TrainingConfig = CONFIG) -> tuple[Course, list[Any]]:
    history = loop.fit(part(), part(90, seed=1), config)
    return history, [weight.copy() for weight in loop.network.get_weights()]


def test_the_caller_s_random_numbers_go_on_as_before() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    fitted(loop_for(CONFIG))
    assert random.random() == expected


class Noise(keras.layers.Layer):
    """Noise from keras' global generator, or from one of its own."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.seed = keras.random.SeedGenerator() if own else None

    def call(self, signal: Any, training: bool = False) -> Any:
        if not training:
            return signal
        return signal + 0.1 * keras.random.normal(keras.ops.shape(signal), seed=self.seed)


def added(monkeypatch: pytest.MonkeyPatch, layer: Callable[[], Any]) -> TrainingConfig:
    """Return a config of an architecture with one more layer."""

    def architecture(config: TrainingConfig, signal: Any) -> Any:
        return layer()(recurrent_layer(config, config.units[0], last=True)(signal))

    monkeypatch.setitem(ARCHITECTURES, "added", architecture)
    monkeypatch.setattr(loop, "_loop", lru_cache(loop._loop.__wrapped__))
    return CONFIG.model_copy(update={"architecture": "added"})


def drawn() -> Any:
    layer = keras.layers.Dense(3)
    layer.build((None, CONFIG.units[0]))
    layer.set_weights([np.random.normal(size=(CONFIG.units[0], 3)), np.zeros(3)])  # noqa: NPY002
    return layer


@pytest.mark.parametrize("layer", [partial(Noise, True), drawn], ids=["noise", "weights"])
def test_an_architecture_that_draws_repeats(
    layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = added(monkeypatch, layer)
    one = fitted(loop_for(config), config)
    np.random.random()  # noqa: NPY002 - the caller's numbers go on
    again = fitted(loop_for(config), config)
    loop._loop.cache_clear()
    for other in (again, fitted(loop_for(config), config)):
        assert one[0].epochs == other[0].epochs
        assert all((a == b).all() for a, b in zip(one[1], other[1], strict=True))


class Seeded(keras.layers.Layer):
    """Noise of tensorflow's own, whose state goes on from one fit to the next."""

    def call(self, signal: Any, training: bool = False) -> Any:
        return signal + tf.random.normal(tf.shape(signal), seed=1) if training else signal


@pytest.mark.parametrize("layer", [partial(Noise, False), Seeded], ids=["variable", "operation"])
def test_states_that_no_fit_overwrites_are_refused(
    layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = added(monkeypatch, layer)
    with pytest.raises(ModelError, match=r"'added' draws random numbers .*SeedGenerator"):
        fitted(loop_for(config), config)


def test_it_trains_as_keras_does() -> None:
    """One batch an epoch and no dropout: then the order of rows and the masks say nothing."""
    config = CONFIG.model_copy(
        update={"batch_size": 1000, "dropout": 0.0, "epochs": 15, "learning_rate": 0.02}
    )
    train, check = part(), part(90, seed=1)
    history = loop_for(config).fit(train, check, config).epochs
    found = loop_for(config).network.get_weights()
    keras.utils.set_random_seed(config.seed)
    plain = build_network(config)
    plain.get_layer("scaling").adapt(np.asarray(plain.get_layer("features")(train.windows)))
    plain.compile(
        optimizer=keras.optimizers.Adam(0.02), loss="binary_crossentropy", metrics=["accuracy"]
    )
    kept = keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True)
    log = plain.fit(
        train.windows,
        train.up,
        validation_data=(check.windows, check.up),
        epochs=15,
        batch_size=1000,
        verbose=0,
        callbacks=[kept],
    ).history
    assert len(history) == len(log["loss"])
    for field, name in (
        ("loss", "loss"),
        ("validation_loss", "val_loss"),
        ("validation_accuracy", "val_accuracy"),
    ):
        values = [getattr(epoch, field) for epoch in history]
        np.testing.assert_allclose(values, log[name], rtol=0, atol=1e-5)
    assert history[0].loss - history[-1].loss > 0.005
    for mine, theirs in zip(found, plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-4)


def test_every_variable_is_overwritten() -> None:
    loop = loop_for(CONFIG)
    expected = fitted(loop)
    variables = [*loop.network.variables, *loop._optimizer.variables]
    assert any("seed" in variable.path for variable in variables), "no dropout generator"
    for variable in variables:
        variable.assign(np.full(variable.shape, 7))
    found = fitted(loop)
    assert found[0] == expected[0]
    for mine, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_new_network_gives_the_same() -> None:
    history, weights = fitted(loop_for(CONFIG))
    other, others = fitted(Loop(CONFIG))
    assert other == history
    for mine, theirs in zip(weights, others, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_one_network_for_one_shape() -> None:
    loop = loop_for(CONFIG)
    same = {"seed": 5, "epochs": 1, "patience": 1, "batch_size": 9, "learning_rate": 0.5}
    assert loop_for(CONFIG.model_copy(update=same | {"horizon": 2, "target": "close"})) is loop
    for change in ({"units": (5,)}, {"window": 7}, {"dropout": 0.0}, {"features": ("body",)}):
        assert loop_for(CONFIG.model_copy(update=change)) is not loop
    for n in (100, 120, 140):
        loop.fit(part(n), part(n), CONFIG.model_copy(update={"batch_size": n // 3}))
    assert loop._pass.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_masks_differ_from_epoch_to_epoch(dropout: float) -> None:
    still = {"learning_rate": 1e-12, "batch_size": 1000, "dropout": dropout}
    config = CONFIG.model_copy(update=still)
    history = fitted(loop_for(config), config)[0].epochs
    losses = [epoch.loss for epoch in history]
    assert len({round(loss, 5) for loss in losses}) == (len(losses) if dropout else 1)
    assert len({round(epoch.validation_loss, 6) for epoch in history}) == 1


def test_rows_come_in_a_new_order_each_epoch() -> None:
    """With a batch of one row and a large step the order of rows decides the weights."""
    config = CONFIG.model_copy(update={"dropout": 0.0, "batch_size": 1, "learning_rate": 0.05})
    loop, train = loop_for(config), part(60)
    loop.fit(train, train, config)
    before = loop.network.get_weights()
    turned = Part(*(array[::-1].copy() for array in (train.windows, train.up, train.labels)))
    loop.fit(turned, train, config)
    assert not np.array_equal(loop.network.get_weights()[2], before[2])


def test_log_loss_by_hand() -> None:
    assert log_loss(np.array([0.8, 0.4]), np.array([1.0, 0.0])) == pytest.approx(
        -(np.log(0.8) + np.log(0.6)) / 2
    )
    assert log_loss(np.array([0.0]), np.array([1.0])) == pytest.approx(-np.log(1e-7))
