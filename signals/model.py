"""Model files: load, verify, predict. The only importer of onnxruntime."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from .arrays import BoolArray, Float32Array, FloatArray
from .errors import BarsError, ModelError, did_you_mean
from .heads import OUTPUTS
from .store import digest
from .windows import as_input, input_columns, inside, windows_of

if TYPE_CHECKING:
    from .card import Card

__all__ = [
    "MANIFEST",
    "Model",
    "load_model",
    "open_session",
    "run_all",
    "run_windows",
    "sample_model",
]

MANIFEST = "chain.json"
"""What makes a folder of model files a chain."""

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
        """Return the number behind the call after every full window of `bars`.

        The probability of an up move, or the position, or the relative move that prices foretell.

        Parameters
        ----------
        bars : ndarray of shape (n_bars, 5), or (n_bars, 4) when the model uses no volume
            Raw open, high, low, close, volume, oldest first.

        Returns
        -------
        ndarray of shape (max(0, n_bars - window + 1),), float64
            Element i is computed from ``bars[i : i + window]`` and nothing else. NaN where that
            window holds a bar that `usable_bars` refuses: the runtime's LSTM would turn NaN into
            a plausible number.
        """
        return self._run(bars, OUTPUTS[self.card.head][-1], ())

    def forecast(self, bars: FloatArray) -> FloatArray:
        """Return the prices that follow every full window of `bars`, as `score` does.

        Returns
        -------
        ndarray of shape (max(0, n_bars - window + 1), k), float64
            Columns as the card's `columns` say.

        Raises
        ------
        ModelError
            When the model forecasts no prices.
        """
        if self.card.head != "forecast":
            raise ModelError(
                f"{self.path}: expected a model that forecasts prices, found head"
                f" {self.card.head!r}. Train one with head = 'forecast'."
            )
        return self._run(bars, "forecast", (len(self.card.columns),))

    def _run(self, bars: FloatArray, output: str, shape: tuple[int, ...]) -> FloatArray:
        window, columns = self.card.window, input_columns(self.card.uses_volume)
        if bars.ndim != 2 or not columns <= bars.shape[1] <= 5:
            raise BarsError(
                f"expected bars of shape (n, {columns}): open, high, low, close"
                f"{', volume' if columns == 5 else ''}; found shape {bars.shape}."
            )
        seen = inside(bars[:, :columns])
        if len(bars) == window and seen.all():  # streaming: what follows would cost a tenth more
            one = as_input(bars, columns)[None]
            return run_windows(self.session, one, output=output).astype(np.float64)
        usable: BoolArray = np.logical_and.reduce(seen, axis=1)
        windows = windows_of(as_input(np.where(usable[:, None], bars, 1.0), columns), window)
        scores = np.full((len(windows), *shape), np.nan)
        rows = np.flatnonzero(windows_of(usable[:, None], window).all(axis=(1, 2)))
        # Rows are picked chunk by chunk: picking copies, and all windows at once may not fit.
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            scores[part] = run_windows(self.session, windows[part], output=output)
        return scores

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return load_model, (str(self.path),)


def run_windows(
    session: Any, windows: Float32Array, chunk: int = CHUNK, output: str = "probability"
) -> Float32Array:
    """Return an output of `windows`, shape (n, window, 5), as shape (n,) or (n, k).

    No call is made for n = 0: the runtime ends the process on an empty batch.
    """
    parts = [
        session.run([output], {"bars": np.ascontiguousarray(windows[i : i + chunk])})[0]
        for i in range(0, len(windows), chunk)
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def run_all(
    session: Any, windows: Float32Array, chunk: int, outputs: Sequence[str]
) -> dict[str, Float32Array]:
    """Return the named outputs of `windows`, each as `run_windows` does."""
    return {name: run_windows(session, windows, chunk, name) for name in outputs}


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
    if path == Path():
        raise ModelError("no model file is named: pass model='FILE.onnx'.")
    try:
        state = path.stat()
        if not path.is_file():
            if (path / MANIFEST).is_file():
                raise ModelError(
                    f"{path}: expected one model file, found a chain. LSTMDirection(model=folder)"
                    " and nextbar.signals.chain.load_chain take it."
                )
            found = "a folder" if path.is_dir() else "a device or pipe"
            raise ModelError(f"{path}: expected a model file (.onnx), found {found}. Name one.")
        # The process id keeps a forked child from using its parent's session; the inode tells a
        # file from the one that took its name within the same tick of the clock.
        return _load(os.getpid(), path.resolve(), state.st_ino, state.st_mtime_ns, state.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(_missing(path)) from error
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read: {error.strerror or error}. Check its name and permissions."
        ) from error


def sample_model() -> Path:
    """Return the path of the small model that is installed with nextbar.

    Trained on AAPL, daily, by ``python -m nextbar.training.make_sample_model``; its card has the
    dates. For trying things out, not for trading.
    """
    return Path(str(files(__name__.rpartition(".")[0]).joinpath("data", "sample.onnx")))


@lru_cache(maxsize=16)
def _load(pid: int, path: Path, inode: int, modified: int, size: int) -> Model:  # noqa: ARG001
    content = path.read_bytes()
    # Only a file as nextbar sealed it gets to the runtime, which a damaged one could crash.
    from .card import unseal  # brings pydantic, 0.1 s: only when a file is read

    card = unseal(content, str(path))
    try:
        session = open_session(content)
    except Exception as error:
        raise ModelError(f"{path}: {_refused(error)}") from error
    model = Model(path, card, digest(content), session)
    _check_interface(model)
    _check_golden(model)
    return model


def _check_interface(model: Model) -> None:
    inputs, outputs = (
        {node.name: (node.type, node.shape[1:]) for node in nodes}
        for nodes in (model.session.get_inputs(), model.session.get_outputs())
    )
    bars = {"bars": ("tensor(float)", [model.card.window, 5])}
    wide = {"forecast": [len(model.card.columns)]}
    names = OUTPUTS[model.card.head]
    wanted = {name: ("tensor(float)", wide.get(name, [])) for name in names}
    if inputs != bars or outputs != wanted:
        raise ModelError(
            f"{model.path}: expected the input 'bars', float32 (batch, {model.card.window}, 5), and"
            f" the output {' and '.join(map(repr, names))}, float32; found {inputs} and {outputs}."
            " Export the model again."
        )


def _check_golden(model: Model) -> None:
    golden = model.card.golden
    bars = np.array(golden.bars, dtype=np.float64).reshape(-1, 5)
    try:
        found = {"forecast": model.forecast(bars)} if model.card.head == "forecast" else {}
        found[OUTPUTS[model.card.head][-1]] = model.score(bars)
    except Exception as error:
        raise ModelError(f"{model.path}: {_refused(error)}") from error
    for name, answer in golden.outputs.items():
        expected, given = np.array(answer), found.get(name, np.empty(0)).ravel()
        allowed = GOLDEN_TOLERANCE * np.maximum(1.0, np.abs(expected))
        same = expected.shape == given.shape and bool(
            np.all(np.abs(given - expected) <= allowed)  # NaN is not
        )
        if not same:
            raise ModelError(
                f"{model.path}: on its golden window expected {name} {expected.tolist()}, found"
                f" {given.tolist()}. This machine's onnxruntime computes the model differently:"
                " install another version."
            )


def _refused(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"onnxruntime {ort.__version__} refuses it: {reason} Export the model again."


def _missing(path: Path) -> str:
    try:
        names = [file.name for file in path.parent.iterdir() if file.suffix == ".onnx"]
    except OSError:
        names = []
    hint = did_you_mean(path.name, names) if names else " Train one with `nextbar train`."
    return f"{path}: no such model file.{hint}"
