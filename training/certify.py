"""From a Keras model to a certified model file: a file is written only if every check passes."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..signals.arrays import Float32Array
from ..signals.bars import COLUMNS, bars_digest, check_bars, infer_interval
from ..signals.card import RECURRENT, Card, Certificate, Golden, seal
from ..signals.errors import ModelError
from ..signals.heads import OUTPUTS, Head
from ..signals.model import CHUNK, open_session, run_all, run_windows
from ..signals.store import canonical_json, digest, write_atomic
from ..signals.windows import windows_of
from .canonical import canonicalise, operator_counts
from .convert import Predict, Traced, trace
from .parity import TOLERANCE, compare, weights_of

__all__ = ["Facts", "export", "export_traced", "training_hash"]

PROBES = 64
"""Windows that are scored alone and in other company."""

BATCH_SIZES = (CHUNK, 7)

RANGES: Mapping[Head, tuple[tuple[float, float], str]] = {
    "direction": ((0.0, 1.0), "End the model with a sigmoid."),
    "position": ((-1.0, 1.0), "End the model with a tanh."),
    "forecast": ((-np.inf, np.inf), "A forecast must be a number."),
}
"""What the score may be by head, and what to do if it is not."""

LIBRARIES = ("keras", "nextbar", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")


class Facts(BaseModel):
    """What only the trainer knows of a model; see `nextbar.signals.card.Card` for the meanings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: str
    recurrent: Literal["LSTM", "GRU"] | None = "LSTM"
    head: Head = "direction"
    columns: tuple[tuple[str, int], ...] = ()
    horizon: int = Field(default=1, ge=1)
    target: Literal["open", "close"] = "open"
    features: tuple[str, ...] = ()
    scaling: str = ""
    price_levels: bool = False
    uses_volume: bool = True
    training: dict[str, JsonValue] = {}
    """All settings of the training, hashed into the card's `training_hash`."""
    notes: tuple[str, ...] = ()
    known_flaws: tuple[str, ...] = ()


def export(model: Any, path: str | Path, *, bars: pd.DataFrame, facts: Facts) -> Card:
    """Certify a Keras model and write it as a nextbar model file.

    Parameters
    ----------
    model : keras.Model
        From raw bars (batch, window, 5) to what ``facts.head`` says: the probability of an up move
        or a position from -1 to 1, (batch,) or (batch, 1); or, for a forecast head, a dict of
        ``forecast``, (batch, k), and ``move``, (batch,), the relative move that it foretells.
        Scaling belongs inside it.
    path : str or Path
        The ``.onnx`` file; written whole or not at all.
    bars : DataFrame
        Every bar that training saw, labels and validation included, and no later one: the last
        one is the card's ``train_end``.
    facts : Facts
        What the card says of the training.

    Returns
    -------
    Card
        As written into the file.

    Raises
    ------
    ModelError
        When the graph cannot be converted, has other inputs, outputs or recurrent operators than
        it should, or differs from Keras on any window of `bars`: the message names the check.
    BarsError
        When `bars` break the contract.
    ExperimentError
        When the file cannot be written.
    """
    traced = trace(model, OUTPUTS[facts.head])
    return export_traced(traced, path, bars=check_bars(bars), facts=facts)


def export_traced(model: Traced, path: str | Path, *, bars: pd.DataFrame, facts: Facts) -> Card:
    """Do what `export` does, with checked `bars` and a model that was traced before."""
    window = model.window
    windows = windows_of(bars[list(COLUMNS)].to_numpy(np.float32), window)
    if not len(windows):
        raise ModelError(f"{len(bars)} bars hold no window of {window}: export needs at least one.")
    graph = canonicalise(model.graph())
    _check_graph(graph, facts)
    content = graph.SerializeToString(deterministic=True)
    session = _open(content)
    card = Card(
        **_history(bars, facts),
        **facts.model_dump(exclude={"training"}),
        window=window,
        libraries={name: version(name) for name in LIBRARIES},
        operators=operator_counts(graph),
        graph_sha256=digest(content),
        certificate=_certify(model.predict, session, windows, facts),
        golden=_golden(session, _seen(windows[-1:], facts), OUTPUTS[facts.head]),
    )
    write_atomic(path, seal(content, card))
    return card


def _history(bars: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Return what the card says of the bars and of the training on them."""
    rows = bars_digest(bars)
    return {
        "symbols": (str(bars.attrs["symbol"]),),
        "interval": infer_interval(pd.DatetimeIndex(bars.index)),
        "train_start": _iso(bars.index[0]),
        "train_end": _iso(bars.index[-1]),
        "rows_sha256": rows,
        "training_hash": training_hash(facts, rows),
    }


def training_hash(facts: Facts, rows: str) -> str:
    """Return the card's digest of settings, bars (whose digest is `rows`) and nextbar version."""
    return digest(canonical_json([facts.training, rows, version("nextbar")]))


def _open(content: bytes) -> Any:
    try:
        return open_session(content)
    except Exception as error:
        raise ModelError(f"onnxruntime refuses the converted graph: {_line(error)}") from error


def _golden(session: Any, window: Float32Array, names: tuple[str, ...]) -> Golden:
    answers = run_all(session, window, CHUNK, names)
    outputs = {name: np.ravel(answer[0]).astype(np.float64) for name, answer in answers.items()}
    return Golden(
        bars=window[0].tolist(), outputs={name: tuple(v.tolist()) for name, v in outputs.items()}
    )


def _seen(windows: Float32Array, facts: Facts) -> Float32Array:
    """Return `windows` as the loaded model will see them: without a volume it does not use."""
    if facts.uses_volume:
        return np.ascontiguousarray(windows)
    windows = windows.copy()
    windows[:, :, 4] = 0.0
    return windows


def _certify(predict: Predict, session: Any, windows: Float32Array, facts: Facts) -> Certificate:
    compared = [compare(predict, session, windows, chunk, facts.head) for chunk in BATCH_SIZES]
    worst, flips = float(np.max([pair[0] for pair in compared])), max(pair[1] for pair in compared)
    name = OUTPUTS[facts.head][-1]
    scores = run_windows(session, windows, output=name)
    unseen = run_windows(session, _seen(windows, facts), output=name)
    if not np.array_equal(unseen, scores, equal_nan=True):
        raise ModelError("uses_volume is False, but the model's output changes with the volume.")
    # Written so that NaN fails too, here and below.
    (least, most), end = RANGES[facts.head]
    if not ((scores >= least) & (scores <= most)).all():
        raise ModelError(
            f"expected a {name} from {least:g} to {most:g}, found {scores.min():g} to"
            f" {scores.max():g}. {end}"
        )
    if not (leak := _influence(session, windows, scores, facts.head)) <= TOLERANCE:
        raise ModelError(
            f"a window's score changes by up to {leak:.1e} with the other windows of its batch, so"
            " later bars would reach earlier calls. Compute over one window's own axes only, such"
            " as keras.ops.mean(x, axis=1)."
        )
    if not worst <= TOLERANCE or flips:
        raise ModelError(
            f"certificate failed: Keras and ONNX differ by up to {worst:.1e} (allowed"
            f" {TOLERANCE:.0e}) with {flips} flipped calls on {len(windows)} windows."
        )
    return Certificate(
        windows=len(windows), max_difference=worst, flipped_calls=flips, batch_sizes=BATCH_SIZES
    )


def _influence(session: Any, windows: Float32Array, scores: Float32Array, head: Head) -> float:
    """Return how much a window's score depends on its company: none, or a distorted twin."""
    name, weights = OUTPUTS[head][-1], weights_of(windows, head)
    worst = [0.0]
    for i in np.unique(np.linspace(0, len(windows) - 1, PROBES).astype(int)):
        twin = windows[i].copy()
        twin[len(twin) // 2 :, :4] *= 1.5
        alone = run_windows(session, windows[i : i + 1], output=name)[0]
        beside = run_windows(session, np.stack([windows[i], twin]), output=name)[0]
        weight = float(weights[i])
        worst += [abs(float(scores[i]) - float(score)) * weight for score in (alone, beside)]
    return float(np.max(worst))


def _check_graph(graph: onnx.ModelProto, facts: Facts) -> None:
    recurrent, wanted = facts.recurrent, list(OUTPUTS[facts.head])
    inputs = [value.name for value in graph.graph.input]
    outputs = [value.name for value in graph.graph.output]
    if inputs != ["bars"] or outputs != wanted:
        raise ModelError(
            f"expected input 'bars' and output {' and '.join(map(repr, wanted))}, the converted"
            f" graph has {inputs} and {outputs}: constants captured by a layer become inputs; make"
            " them weights, as nextbar.training.scalings.StandardScaling does instead of"
            " Normalization."
        )
    found = [name for name in RECURRENT if name in operator_counts(graph)]
    if found != ([recurrent] if recurrent else []):
        raise ModelError(
            f"declared recurrent operator {recurrent}, the converted graph has"
            f" {', '.join(found) or 'none'}."
        )
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the converted graph is not valid ONNX: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _iso(moment: pd.Timestamp) -> str:
    """Return a date for bars at midnight, else date and time."""
    return str(moment.date()) if moment == moment.normalize() else moment.isoformat()
