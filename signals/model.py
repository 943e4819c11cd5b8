"""Model files: load, verify, predict. The only importer of onnxruntime."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from .card import Card, unseal
from .errors import ModelError, did_you_mean
from .store import digest

__all__ = [
    "Float32Array",
    "FloatArray",
    "Model",
    "load_model",
    "open_session",
    "run_windows",
    "sample_model",
    "usable_bars",
    "windows_of",
]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

CHUNK = 512
"""Windows in one inference call: enough to be fast, few enough to bound the memory."""

GOLDEN_TOLERANCE = 1e-4
"""For the golden pair on other processors; on one machine it repeats to about 1e-7."""


@dataclass(frozen=True)
class Model:
    """A verified model file, ready to score bars. It pickles as its path, never as a session."""

    path: Path
    card: Card
    sha256: str
    """Digest of the whole file."""
    session: Any
    """The onnxruntime session, one a process."""

    def score(self, bars: FloatArray) -> FloatArray:
        """Return the probability of an up move after every full window of `bars`.

        Parameters
        ----------
        bars : ndarray of shape (n_bars, 5)
            Raw open, high, low, close, volume, oldest first.

        Returns
        -------
        ndarray of shape (max(0, n_bars - window + 1),), float64
            Element i is computed from ``bars[i : i + window]`` and nothing else. NaN where that
            window holds a bar that `usable_bars` refuses: the runtime's LSTM would turn NaN into
            a plausible number.
        """
        window = self.card.window
        usable = usable_bars(bars, uses_volume=self.card.uses_volume)
        values = np.where(usable[:, None], bars, 1.0).astype(np.float32)
        if not self.card.uses_volume:
            values[:, 4] = 0.0
        windows = windows_of(values, window)
        if not len(windows):
            return np.empty(0)
        valid = np.lib.stride_tricks.sliding_window_view(usable, window).all(axis=1)
        scores = np.full(len(windows), np.nan)
        scores[valid] = run_windows(self.session, windows if valid.all() else windows[valid])
        return scores

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return load_model, (str(self.path),)


def usable_bars(bars: FloatArray, *, uses_volume: bool) -> BoolArray:
    """Return which of `bars`, shape (n, 5), a model may see, as shape (n,).

    Prices must be finite and positive, also as float32; volume, where the model uses it, finite
    and at least 0.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = bars.astype(np.float32)
    usable = (np.isfinite(values[:, :4]) & (values[:, :4] > 0)).all(axis=1)
    if uses_volume:
        usable &= np.isfinite(values[:, 4]) & (values[:, 4] >= 0)
    return usable


def windows_of(bars: npt.NDArray[Any], window: int) -> npt.NDArray[Any]:
    """Return all windows of `bars`, (n, 5), as a view: (max(0, n - window + 1), window, 5)."""
    if len(bars) < window:
        return np.empty((0, window, bars.shape[1]), bars.dtype)
    return np.lib.stride_tricks.sliding_window_view(bars, window, axis=0).transpose(0, 2, 1)


def run_windows(session: Any, windows: Float32Array, chunk: int = CHUNK) -> Float32Array:
    """Return the probabilities of `windows`, shape (n, window, 5), as shape (n,).

    No call is made for n = 0: the runtime ends the process on an empty batch.
    """
    parts = [
        session.run(["probability"], {"bars": np.ascontiguousarray(windows[i : i + chunk])})[0]
        for i in range(0, len(windows), chunk)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def open_session(content: bytes) -> Any:
    """Return a single-threaded CPU session on the bytes of an ONNX file.

    One thread, because parallel runs are parallel processes, which would fight for the cores.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def load_model(path: str | Path) -> Model:
    """Load and verify a model file; loading an unchanged file again is free.

    The seal, the graph's digest, its inputs, outputs and operators are checked, and the golden
    window is run.

    Raises
    ------
    ModelError
        For a missing, truncated, foreign or changed file, one that names external data files,
        or one that does not give its golden answer on this machine.
    """
    path = Path(path)
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(_missing(path)) from error
    if path.is_dir():
        raise ModelError(f"{path}: expected a model file (.onnx), found a folder. Name the file.")
    # The process id keeps a forked child from using its parent's session.
    return _load(os.getpid(), path.resolve(), state.st_mtime_ns, state.st_size)


def sample_model() -> Path:
    """Return the path of the small model that is installed with nextbar.

    Trained on AAPL, daily, by ``python -m nextbar.training.make_sample_model``; its card has the
    dates. For trying things out, not for trading.
    """
    return Path(str(files(__package__).joinpath("data", "sample.onnx")))


@lru_cache(maxsize=16)
def _load(pid: int, path: Path, modified: int, size: int) -> Model:  # noqa: ARG001
    content = path.read_bytes()
    proto = _parse(content, str(path))
    card = unseal(content, {entry.key: entry.value for entry in proto.metadata_props}, str(path))
    try:
        session = open_session(content)
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime {ort.__version__} refuses it: {error}") from error
    model = Model(path, card, digest(content), session)
    _check_interface(model)
    _check_golden(model)
    return model


def _parse(content: bytes, origin: str) -> Any:
    import onnx  # 0.1 s to import: only when a file is read
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import uses_external_data

    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(
            f"{origin}: not an ONNX file, or one cut short ({len(content)} bytes)."
            " Copy or export it again."
        ) from error
    if not proto.graph.node:
        raise ModelError(f"{origin}: expected an ONNX graph, found none in {len(content)} bytes.")
    tensors = [*proto.graph.initializer, *_attribute_tensors(proto)]
    if any(uses_external_data(tensor) for tensor in tensors):
        raise ModelError(
            f"{origin}: keeps weights in other files, which could be any file of this machine."
            " Export one file with all weights inside."
        )
    return proto


def _attribute_tensors(proto: Any) -> list[Any]:
    nodes = list(proto.graph.node) + [n for function in proto.functions for n in function.node]
    tensors: list[Any] = []
    while nodes:
        for attribute in nodes.pop().attribute:
            tensors += [attribute.t, *attribute.tensors]
            for graph in (attribute.g, *attribute.graphs):
                nodes += graph.node
                tensors += graph.initializer
    return tensors


def _check_interface(model: Model) -> None:
    names = [node.name for node in model.session.get_inputs()]
    outputs = [node.name for node in model.session.get_outputs()]
    if names != ["bars"] or outputs != ["probability"]:
        raise ModelError(
            f"{model.path}: expected input 'bars' and output 'probability', found inputs {names}"
            f" and outputs {outputs}."
        )


def _check_golden(model: Model) -> None:
    golden = model.card.golden
    bars = np.array(golden.bars, dtype=np.float64)
    found = model.score(bars)
    if len(found) != 1 or not abs(found[0] - golden.probability) <= GOLDEN_TOLERANCE:
        raise ModelError(
            f"{model.path}: on its golden window expected {golden.probability:.6f}, found"
            f" {found.tolist()}. This machine's onnxruntime computes the model differently:"
            " install another version."
        )


def _missing(path: Path) -> str:
    try:
        names = [file.name for file in path.parent.iterdir() if file.suffix == ".onnx"]
    except OSError:
        names = []
    hint = did_you_mean(path.name, names) if names else " Train one with `nextbar train`."
    return f"{path}: no such model file.{hint}"
