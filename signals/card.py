"""The card: what a model file says of itself, and how it is sealed into the ONNX metadata.

A sealed file is `graph + card + seal`. Protobuf messages may be joined end to end, so the card
and the seal are two metadata entries appended to the bytes of the graph: the graph's own bytes
stay untouched and can be hashed without parsing or writing them anew.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ModelError
from .store import canonical_json, digest

__all__ = ["SCHEMA", "Card", "Certificate", "Golden", "seal", "unseal"]

SCHEMA = 1
"""Version of the card's fields; a file of another version is refused."""

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
    """Largest |Keras - ONNX| probability; at most 1e-5."""
    flipped_calls: int
    """Up/down calls that differ, outside a band of 1e-5 round 0.5; always 0."""
    batch_sizes: tuple[int, ...]
    """Batch sizes at which the comparison was made."""


class Golden(_Frozen):
    """One window and its answer, run again at every load."""

    bars: tuple[tuple[float, float, float, float, float], ...]
    """Raw bars, oldest first: open, high, low, close, volume."""
    probability: float


class Card(_Frozen):
    """All that is needed to use a model file rightly. Dates are ISO text, naive, of the bars."""

    schema_version: Literal[1] = SCHEMA
    head: Literal["direction"] = "direction"
    architecture: str
    recurrent: Literal["LSTM", "GRU"] | None
    """The recurrent ONNX operator that the graph must hold."""
    window: int = Field(ge=1)
    """Raw bars in one input."""
    horizon: int = Field(ge=1)
    """Bars that the predicted move lasts."""
    target: Literal["open", "close"]
    """`open`: up = open[t+1+h] > open[t+1], what a fill at the next open earns; `close`:
    close[t+h] > close[t]."""
    features: tuple[str, ...]
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
    known_flaws: tuple[str, ...] = ()
    """Leaks the model is known to carry; empty for an honest model."""


def seal(graph: bytes, card: Card) -> bytes:
    """Return the sealed file: `graph` with `card` and the seal over it in the metadata."""
    text = canonical_json(card.model_dump(mode="json"))
    return graph + _entries(text)


def unseal(content: bytes, metadata: dict[str, str], origin: str) -> Card:
    """Return the card of a sealed file after checking that neither card nor graph was changed.

    `metadata` are the entries of the parsed file, `origin` is how messages name it.

    Raises
    ------
    ModelError
        For a file without a card, of another schema, or changed since it was sealed.
    """
    text = metadata.get(CARD_KEY)
    if text is None:
        raise ModelError(
            f"{origin}: an ONNX file without a nextbar card. Export the Keras model with"
            " nextbar.training.export, which writes one."
        )
    entries = _entries(text)
    if not content.endswith(entries) or metadata.get(SEAL_KEY) != digest(text):
        raise ModelError(_changed(origin, "card or its place in the file"))
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{origin}: its card does not fit schema {SCHEMA}: {field}: {first['msg']}."
            " Export the model again with this version of nextbar."
        ) from error
    if digest(content[: -len(entries)]) != card.graph_sha256:
        raise ModelError(_changed(origin, "graph or weights"))
    return card


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
