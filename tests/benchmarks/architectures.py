"""What each architecture costs, in one run: ``python -m tests.benchmarks.architectures``.

Prints a Markdown table; with ``--write`` it takes the place of the one in docs/architectures.md.
Each time is processor time, which other work on the machine changes little, and the median of
repeated ones: of epochs after the first, which traces, of conversions, and of passes over the bars.
Batched: 512 windows a call. Streaming: one window a call through `Model.score`, as an indicator's
``next()`` does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from nextbar.signals import load_model
from nextbar.signals.card import RECURRENT
from nextbar.signals.heads import OUTPUTS
from nextbar.training import TrainingConfig, train
from nextbar.training.backend import repeatable_tensorflow
from rich.console import Console
from rich.progress import track

from ..markets import random_bars

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
MARKERS = ("<!-- benchmark -->\n", "<!-- /benchmark -->")

PRICES: Mapping[str, Any] = {
    "head": "forecast", "features": ("close",), "fields": ("close",), "scaling": "minmax",
    "target": "close",
}  # fmt: skip

CASES: Mapping[str, Mapping[str, Any]] = {
    "vanilla": {"architecture": "vanilla", "layers": 1},
    "stacked, 2 layers": {},
    "stacked, 4 layers": {"layers": 4},
    "bidirectional, 2 layers": {"architecture": "bidirectional"},
    "convolutional, 2 layers": {"architecture": "convolutional"},
    "GRU, 2 layers": {"cell": "gru"},
    "peephole LSTM, 2 layers": {"cell": "peephole"},
    "recurrent dropout, 2 layers": {"recurrent_dropout": 0.2},
    "position head, 2 layers": {"head": "position"},
    "forecast head, 2 layers": PRICES,
    "rollout of 50 bars, 2 layers": {**PRICES, "rollout": True, "horizon": 50},
}
"""Changes to a stacked LSTM of two layers that calls the direction."""


@dataclass(frozen=True)
class Size:
    units: int
    window: int
    bars: int
    epochs: int
    repeats: int
    streamed: int


FULL = Size(units=50, window=60, bars=1000, epochs=5, repeats=3, streamed=200)
QUICK = Size(units=4, window=8, bars=500, epochs=3, repeats=2, streamed=20)


@dataclass(frozen=True)
class Cost:
    name: str
    parameters: int
    rows: int
    """Training rows of an epoch."""
    epoch_seconds: float
    batched_us: float
    streaming_us: float
    conversion_seconds: float
    difference: float
    """Largest |Keras - ONNX| on all windows, relative for prices."""
    operators: int
    recurrent: str


def config_of(changes: Mapping[str, Any], size: Size) -> TrainingConfig:
    fields = dict(changes)
    base = {"window": size.window, "epochs": size.epochs, "patience": None, "batch_size": 64}
    units = (size.units,) * fields.pop("layers", 2)
    return TrainingConfig(**base | {"units": units} | fields)


def seconds(work: Callable[[], object], repeats: int) -> float:
    work()  # warm up
    spent: list[float] = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def cost(name: str, size: Size, folder: Path) -> Cost:
    from nextbar.training.convert import convert

    config = config_of(CASES[name], size)
    bars, ends = random_bars(size.bars), list[float]()
    done = train(
        bars, config, folder / "model.onnx", on_epoch=lambda _: ends.append(time.process_time())
    )
    model, values = load_model(done.path), bars.to_numpy(np.float64)
    n, card = len(values) - config.window + 1, done.card

    def stream() -> None:
        for i in range(size.streamed):
            model.score(values[i : i + config.window])

    outputs = OUTPUTS[card.head]
    found = {name: card.operators[name] for name in RECURRENT if name in card.operators}
    return Cost(
        name=name,
        parameters=sum(int(np.prod(w.shape)) for w in done.network.trainable_weights),
        rows=done.train_rows,
        epoch_seconds=float(np.median(np.diff(ends))),
        batched_us=seconds(lambda: model.score(values), size.repeats) / n * 1e6,
        streaming_us=seconds(stream, size.repeats) / size.streamed * 1e6,
        conversion_seconds=seconds(
            lambda: convert(done.network, config.window, outputs), size.repeats
        ),
        difference=card.certificate.max_difference,
        operators=sum(card.operators.values()),
        recurrent=", ".join(f"{count} {operator}" for operator, count in found.items()),
    )


def table(costs: list[Cost], size: Size) -> str:
    lines = [
        f"Units {size.units} in each layer, window {size.window}, batches of 64; processor time;"
        f" Python {platform.python_version()}, tensorflow {version('tensorflow')}, onnxruntime"
        f" {version('onnxruntime')}, {os.cpu_count()} cores. Load of the machine at the end:"
        f" {os.getloadavg()[0]:.1f}.",
        "",
        "| network | parameters | rows | s an epoch | µs a bar, batched | µs a bar, streaming |"
        " s to convert | Keras - ONNX | operators |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    lines += [
        f"| {c.name} | {c.parameters:,} | {c.rows:,} | {c.epoch_seconds:.2f} | {c.batched_us:.0f} |"
        f" {c.streaming_us:.0f} | {c.conversion_seconds:.2f} | {c.difference:.0e} |"
        f" {c.operators}: {c.recurrent} |"
        for c in costs
    ]
    return "\n".join(lines) + "\n"


def placed(page: str, text: str) -> str:
    """Return `page` with `text` between the markers."""
    begin, end = map(re.escape, MARKERS)
    new, count = re.subn(
        f"({begin}).*?({end})", lambda found: found[1] + text + found[2], page, flags=re.S
    )
    if count != 1:
        sys.exit(f"expected the markers once in {PAGE.name}, found them {count} times")
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small networks, for a first look")
    parser.add_argument("--json", action="store_true", help="figures for machines")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    options = parser.parse_args()
    if options.quick and options.write:
        sys.exit("the page holds the full table: leave out --quick or --write")
    size = QUICK if options.quick else FULL
    repeatable_tensorflow()
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        costs = [
            cost(name, size, Path(folder))
            for name in track(CASES, description="Measuring", console=progress)
        ]
    text = table(costs, size)
    if options.write:
        page = placed(PAGE.read_text(encoding="utf-8"), text)
        PAGE.write_text(page, encoding="utf-8")
    if options.json:
        text = json.dumps([asdict(one) for one in costs], indent=1) + "\n"
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
