"""The tables of the report: rows of text, made from what ``results.json`` holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..common import STRATEGIES
from ..metrics import METRICS, Metric

if TYPE_CHECKING:
    from ..result import Result

__all__ = [
    "MetricRow",
    "amount",
    "day",
    "metric_rows",
    "model_facts",
    "percent",
    "quality_rows",
    "refusals",
    "setting_rows",
    "short",
    "value_text",
]

NOT_DEFINED = "not defined"
NOT_RECORDED = "not recorded"

_FORMATS = {
    "fraction": "z.1%",
    "ratio": "z.2f",
    "times": "z.2f",
    "basis": "z,.1f",
    "account": "z,.2f",
    "bars": ",.0f",
    "count": ",.0f",
}
"""Format by the first word of a measure's unit."""


class MetricRow(NamedTuple):
    """One measure: its label, its unit as shown, and one value for each strategy."""

    label: str
    unit: str
    values: list[str]


def value_text(value: float | None, unit: str) -> str:
    """Return a measure as text, by its unit."""
    if value is None:
        return NOT_DEFINED
    return format(value, _FORMATS[unit.split()[0].rstrip(",")])


def percent(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return value_text(value, "fraction")


def amount(value: float) -> str:
    """Return a number with thousands separators and no needless decimals."""
    return f"{value:z,.4f}".rstrip("0").rstrip(".")


def short(digest: str) -> str:
    """Return the start of a digest: enough to tell files apart."""
    return digest[:12]


def day(date: object) -> str:
    """Return a date as text, without the time at midnight."""
    return str(date).removesuffix(" 00:00:00").removesuffix("T00:00:00")


def metric_rows(strategies: Mapping[str, Mapping[str, float | None]]) -> list[MetricRow]:
    """Return a row for each of `METRICS` that the strategies have, one value per strategy."""
    return [_metric_row(m, strategies) for m in METRICS if m.name in strategies["lstm"]]


def _metric_row(metric: Metric, strategies: Mapping[str, Mapping[str, float | None]]) -> MetricRow:
    values = [value_text(strategies[name][metric.name], metric.unit) for name in STRATEGIES]
    return MetricRow(metric.label, metric.unit.replace("fraction", "%"), values)


def model_facts(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a model; a model file that was given has no record of its fit."""
    certificate = model["certificate"]
    return [
        ("File", f"{model['file']}, sha256 {short(model['sha256'])}"),
        ("Architecture", model["architecture"]),
        ("Window", f"{model['window']} bars"),
        ("Features", ", ".join(model["features"]) or "none named"),
        ("Up means", _target(model["target"], model["horizon"])),
        ("Trained on", ", ".join(model["symbols"])),
        ("Training dates", f"{day(model['train_start'])} to {day(model['train_end'])}"),
        ("Rows", _rows(model)),
        ("Best epoch", str(model.get("best_epoch", NOT_RECORDED))),
        ("Keras against ONNX, training and validation", _difference(certificate)),
        ("Keras against ONNX, test", _difference(model.get("test_windows"))),
        ("Known flaws", ", ".join(model["known_flaws"]) or "none"),
    ]


def _target(price: str, horizon: int) -> str:
    entry = 1 if price == "open" else 0
    start = f"t+{entry}" if entry else "t"
    return f"{price}[t+{entry + horizon}] > {price}[{start}], for a call at the close of bar t"


def _rows(model: Mapping[str, Any]) -> str:
    if "train_rows" not in model:
        return NOT_RECORDED
    return f"{model['train_rows']:,} training, {model['validation_rows']:,} validation"


def _difference(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return NOT_RECORDED
    return (
        f"largest difference {check['max_difference']:.1e}, {check['flipped_calls']} flipped calls"
        f" in {check['windows']:,} windows"
    )


def quality_rows(model: Mapping[str, Any], calls: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return part, rows, accuracy and base rate for the validation and the test part."""
    rows: list[tuple[str, ...]] = []
    if "validation_accuracy" in model:
        accuracy, base = model["validation_accuracy"], model["validation_base_rate"]
        count = f"{model['validation_rows']:,}"
        rows.append(("Validation", count, percent(accuracy), percent(base)))
    test = percent(calls["accuracy"]), percent(calls["base_rate"])
    return [*rows, ("Test", f"{calls['rows']:,}", *test)]


def refusals(runs: Mapping[str, Result]) -> list[tuple[str, str, str, str]]:
    """Return strategy, date, size and status of every refused order."""
    return [
        (label, day(date), amount(size), status)
        for name, label in STRATEGIES.items()
        for date, size, status in runs[name].rejected[["date", "size", "status"]].to_numpy()
    ]


def setting_rows(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value of every setting, by name; those in a group as ``group.name``."""
    for name, value in sorted(settings.items()):
        if isinstance(value, Mapping):
            yield from setting_rows(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield prefix + name, _setting(value)


def _setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in cast("list[object]", value))
    return str(value)
