"""The card: what a model file says of itself, and how it is sealed into the ONNX metadata.

A sealed file is `graph + card + seal`. Protobuf messages may be joined end to end, so the card
and the seal are two metadata entries appended to the bytes of the graph: the graph's own bytes
stay untouched and can be hashed without parsing or writing them anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ModelError
from .heads import CENTRES, Head
from .store import canonical_json, digest

__all__ = ["SCHEMA", "Card", "Certificate", "Golden", "seal", "unseal"]

SCHEMA = 2
"""Version of the card's fields; a file of another version is refused."""

RECURRENT = ("GRU", "LSTM", "RNN", "Loop", "Scan", "If")
"""Operators of which a graph may hold only the one that its card names."""

CARD_KEY = "nextbar.card"
SEAL_KEY = "nextbar.seal"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Certificate(_Frozen):
    """What the export checked, over all training and validation windows."""

    windows: int
    """Windows compared."""
    max_difference: float
    """Largest |Keras - ONNX| of any output, relative for prices; at most 1e-5."""
    flipped_calls: int
    """Up/down calls that differ, outside a band of 1e-5 round the centre; always 0."""
    batch_sizes: tuple[int, ...]
    """Batch sizes at which the comparison was made."""


class Golden(_Frozen):
    """One window and its answer, run again at every load."""

    bars: tuple[tuple[float, float, float, float, float], ...]
    """Raw bars, oldest first: open, high, low, close, volume."""
    outputs: dict[str, tuple[float, ...]]


class Card(_Frozen):
    """All that is needed to use a model file rightly. Dates are ISO text, naive, of the bars."""

    schema_version: Literal[2] = SCHEMA
    head: Head = "direction"
    architecture: str
    recurrent: Literal["LSTM", "GRU"] | None
    """The recurrent ONNX operator that the graph must hold."""
    window: int = Field(ge=1)
    """Raw bars in one input."""
    horizon: int = Field(ge=1)
    """Bars that the predicted move lasts."""
    target: Literal["open", "close"]
    """`open`: up = open[t+1+h] > open[t+1], what a fill at the next open earns; `close`:
    close[t+h] > close[t]. A forecast's move is from the first field's price at t+1 for the one,
    from its price at t for the other."""
    columns: tuple[tuple[str, int], ...] = ()
    """What each number of a forecast is: a field's price, and how many bars ahead."""
    features: tuple[str, ...]
    scaling: str = ""
    price_levels: bool = False
    """Whether prices go in as they are: outside the levels of the training part, and after an
    adjustment for a later split, the model is at a loss."""
    uses_volume: bool
    symbols: tuple[str, ...]
    interval: str
    train_start: str
    train_end: str
    """End of the last label seen, validation included: calls up to this bar are in-sample."""
    rows_sha256: Sha256
    """Digest of the bars used, up to `train_end`."""
    training_hash: Sha256
    """Digest of training config, seed, rows and nextbar version."""
    libraries: dict[str, str]
    operators: dict[str, int]
    """ONNX operators in the graph and how often each occurs."""
    graph_sha256: Sha256
    """Digest of graph and weights: the file without card and seal."""
    golden: Golden
    certificate: Certificate
    notes: tuple[str, ...] = ()
    """What was done to the training rows that the file cannot do to new ones."""
    known_flaws: tuple[str, ...] = ()
    """Leaks the model is known to carry; empty for an honest model."""

    @property
    def centre(self) -> float:
        """Score at which up and down are balanced."""
        return CENTRES[self.head]

    @property
    def unseen_from(self) -> datetime:
        """The moment before which bars are in-sample.

        Daily bars may be stamped at midnight or at the end of their day, so all of the day of
        `train_end` counts as seen. Longer ones may be stamped at their start, so a whole interval
        does. Shorter ones have half a second for rounding.
        """
        end = datetime.fromisoformat(self.train_end)
        unit = self.interval.lstrip("0123456789")
        if unit not in ("d", "wk", "mo"):
            return end + timedelta(milliseconds=500)
        number = int(self.interval.removesuffix(unit))
        days = {"d": 1, "wk": 7 * number, "mo": 31 * number}[unit]
        return datetime.combine(end, time()) + timedelta(days=days)


def seal(graph: bytes, card: Card) -> bytes:
    """Return the sealed file: `graph` with `card` and the seal over it in the metadata."""
    text = canonical_json(card.model_dump(mode="json"))
    return graph + _entries(text)


def unseal(content: bytes, origin: str) -> Card:
    """Return the card of a sealed file after checking that neither card nor graph was changed.

    `origin` is how messages name the file. It is parsed, but nothing in it is run.

    Raises
    ------
    ModelError
        For a file that is no ONNX file or names other files, without a card or with one of
        another schema, changed since it was sealed, or with other operators than its card says.
    """
    proto = _parse(content, origin)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    text = metadata.get(CARD_KEY)
    if text is None:
        raise ModelError(
            f"{origin}: an ONNX file without a nextbar card. Export the Keras model with"
            " nextbar.training.export, which writes one."
        )
    try:
        entries = _entries(text)
    except UnicodeDecodeError:  # protobuf reads a damaged text as bytes
        entries = None
    if not entries or not content.endswith(entries) or metadata.get(SEAL_KEY) != digest(text):
        raise ModelError(_changed(origin, "card or its place in the file"))
    card = _read(text, origin)
    if digest(content[: -len(entries)]) != card.graph_sha256:
        raise ModelError(_changed(origin, "graph or weights"))
    _check_operators(proto, card, origin)
    return card


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
        raise ModelError(
            f"{origin}: expected an ONNX graph, found none in {len(content)} bytes."
            " Copy or export it again."
        )
    tensors = (message for message in _inside(proto) if isinstance(message, onnx.TensorProto))
    if any(uses_external_data(tensor) for tensor in tensors):
        raise ModelError(
            f"{origin}: keeps weights in other files, which could be any file of this machine."
            " Export one file with all weights inside."
        )
    return proto


def _inside(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and every message in it, however deep."""
    from google.protobuf.message import Message

    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in [value] if isinstance(value, Message) else value:
                yield from _inside(item)


def _read(text: str, origin: str) -> Card:
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{origin}: its card does not fit schema {SCHEMA}: {field}: {first['msg']}."
            " Export the model again with this version of nextbar."
        ) from error


def _check_operators(proto: Any, card: Card, origin: str) -> None:
    counts = Counter(node.op_type for node in proto.graph.node)
    found = {name: counts[name] for name in card.operators}
    recurrent = [name for name in RECURRENT if counts[name]]
    if found != card.operators or recurrent != ([card.recurrent] if card.recurrent else []):
        raise ModelError(
            f"{origin}: its card counts the operators {card.operators}, {card.recurrent} being the"
            f" recurrent one; found {found} and {', '.join(recurrent) or None}."
            " Export the model again."
        )


def _entries(text: str) -> bytes:
    from onnx import ModelProto, StringStringEntryProto  # 0.1 s to import: only when a file is read

    entries = [
        StringStringEntryProto(key=CARD_KEY, value=text),
        StringStringEntryProto(key=SEAL_KEY, value=digest(text)),
    ]
    return ModelProto(metadata_props=entries).SerializeToString()


def _changed(origin: str, part: str) -> str:
    return (
        f"{origin}: the {part} was changed after the export, so its certificate no longer holds."
        " Take the original file or export the model again."
    )
