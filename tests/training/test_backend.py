"""Tensorflow: missing, on another backend, noisy, or as training needs it."""

from __future__ import annotations

import os
import sys

import pytest
from nextbar.signals.errors import NextbarError
from nextbar.training import backend


@pytest.mark.parametrize("name", ["tensorflow", "keras", "tf2onnx"])
def test_missing_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.tensorflow()
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NextbarError, match=rf"needs {name}, .* pip install 'nextbar\[train\]'"):
        backend.tensorflow.__wrapped__()


def test_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    backend.tensorflow()
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(NextbarError, match="expected keras on tensorflow, found it on jax"):
        backend.tensorflow.__wrapped__()


def test_one_thread_and_the_same_every_time() -> None:
    tf = backend.repeatable_tensorflow()
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert backend.repeatable_tensorflow.__wrapped__() is tf


def test_noise_is_held_back_unless_something_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def load(error: type[Exception] | None) -> None:
        with backend._quiet():
            os.write(2, b"chatter\n")
            if error:
                raise error

    load(None)
    assert capfd.readouterr().err == ""
    with pytest.raises(OSError, match=r"^$"):
        load(OSError)
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "chatter\nafterwards\n"
