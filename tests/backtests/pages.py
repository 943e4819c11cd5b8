"""What the tests of the report share: a comparison of made-up markets, and a reader of pages."""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from nextbar.backtests import Experiment, compare
from nextbar.signals import load_model

from ..markets import random_bars
from ..models import write_model

SYMBOLS = ("M&M", "TEST")


@functools.cache
def comparison():
    """`content` and `results` of a comparison of two made-up markets with a given model."""
    with tempfile.TemporaryDirectory() as name:
        return _comparison(Path(name))


def _comparison(folder):
    model = write_model(folder / "model.onnx", 8, symbols=SYMBOLS)
    experiment = Experiment(
        symbols=SYMBOLS,
        source="csv",
        test_start="2002-01-01",
        model_sha256=load_model(model).sha256,
        ema_fast=5,
        ema_slow=15,
        momentum_period=40,
        shorts=True,
    )
    bars = {symbol: random_bars(420, seed) for seed, symbol in enumerate(SYMBOLS)}
    return run_comparison(folder, experiment, bars, model)


def run_comparison(folder, experiment, bars, model):
    """Return what `compare` hands to `render`."""
    handed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys.modules[compare.__module__], "render", lambda *given: handed.append(given) or ""
        )
        compare(experiment, bars, runs=folder, model=model)
    return handed[0]


def copied(content):
    return json.loads(json.dumps(content))


def one_symbol(given, symbol="TEST", name=None):
    """Return the comparison cut down to one symbol, renamed to `name`."""
    content, results = copied(given[0]), given[1]
    name = name or symbol
    del content["equal_weight"]
    content["experiment"]["symbols"] = [name]
    content["symbols"] = {name: content["symbols"][symbol]}
    return content, {name: dict(results[symbol])}


class Page(HTMLParser):
    """Tags, shown text and table rows of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.rows, self._inside = [], "", [], []
        self.scripts = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self._inside:
            self.scripts.append(data)
        elif "style" not in self._inside:
            self.text += data
            if self._inside and {"td", "th"} & set(self._inside):
                self.rows[-1][-1] += data


def figure(page, div_id):
    """Return traces and layout of one figure."""
    rest = (
        page[page.index(f'"{div_id}",', page.index(f'id="{div_id}"')) :].split(",", 1)[1].lstrip()
    )
    traces, end = json.JSONDecoder().raw_decode(rest)
    layout, _ = json.JSONDecoder().raw_decode(rest[end:].lstrip(", \n"))
    return traces, layout
