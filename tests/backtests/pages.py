"""What the tests of the report share: a comparison of made-up markets, and a reader of pages."""

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

FOLDS = (
    {"validation_start": "2001-10-01", "test_start": "2002-01-01"},
    {"validation_start": "2001-12-03", "test_start": "2002-04-01"},
)


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
        folds=FOLDS,
        model_sha256=load_model(model).sha256,
        ema_grid=((5, 15), (5, 20)),
        momentum_grid=(20, 40),
        shorts=True,
    )
    bars = {symbol: random_bars(420, seed) for seed, symbol in enumerate(SYMBOLS)}
    return run_comparison(folder, experiment, bars, model)


def run_comparison(folder, experiment, bars, model):
    """Return the first two of what `compare` hands to `render`: content and results."""
    handed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys.modules[compare.__module__], "render", lambda *given: handed.append(given) or ""
        )
        compare(experiment, bars, runs=folder, model=model)
    return handed[0][:2]


def copied(content):
    return json.loads(json.dumps(content))


def one_symbol(given, symbol="TEST", name=None):
    """Return the comparison cut down to one symbol, renamed to `name`; the mix stays as it was."""
    content, results = copied(given[0]), given[1]
    name = name or symbol
    content["experiment"]["symbols"] = [name]
    content["symbols"] = {name: content["symbols"][symbol]}
    return content, {name: dict(results[symbol])}


def without_mix(given):
    """Return the comparison as it is when the symbols' returns have no sensible mean."""
    content = copied(given[0])
    content |= {"evidence": None, "equal_weight": None, "obstacle": "the calendars differ"}
    return content, given[1]


def with_origin(given, origin):
    """Return the comparison with the settings of a recipe, of a search, or of both."""
    content = copied(given[0])
    content["experiment"]["origin"] = {"recipe": None, "search": None} | copied(origin)
    return content, given[1]


def with_training(given):
    """Return the comparison with the models of a walk-forward in place of the given one."""
    content = copied(given[0])
    for part in content["symbols"].values():
        part["models"] = {
            "architecture": "stacked 16",
            "head": "direction",
            "chains": {"lstm": "a" * 64, "logistic": "b" * 64, "shuffled": "c" * 64},
            "max_difference": 1.234e-7,
            "flipped_calls": 0,
            "best_epoch": 2,
            "history": [
                {"number": n, "loss": 0.7 - n / 100, "validation_loss": 0.71 - n / 200}
                for n in (1, 2, 3)
            ],
            "models": [_model(fold, *kind) for fold in (0, 1) for kind in KINDS],
        }
    return content, given[1]


KINDS = (("lstm", 0, 0.5), ("lstm", 1, 0.56), ("logistic", 0, 0.51), ("shuffled", 0, 0.49))


def _model(fold, kind, seed, accuracy):
    return {
        "fold": fold,
        "kind": kind,
        "seed": seed,
        "sha256": "d" * 64,
        "train_start": "2001-01-01",
        "train_end": f"200{1 + fold}-12-27 00:00:00",
        "train_rows": 1500 + fold,
        "validation_rows": 300,
        "best_epoch": 0 if kind == "logistic" else 3 + seed,
        "validation_accuracy": accuracy,
        "validation_base_rate": 0.524,
        "epochs": 9,
    }


class Page(HTMLParser):
    """Tags, shown text, tables and figures' scripts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.tables, self._inside = [], "", [], []
        self.scripts = []
        self.feed(text)

    @property
    def rows(self):
        return [row for table in self.tables for row in table]

    def table(self, corner, number=0):
        """Return the rows, by their first cell, of a table that begins with the head `corner`."""
        found = [table for table in self.tables if table[0][0] == corner]
        return {row[0]: row[1:] for row in found[number]}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self._inside.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "small" and self.tables and self.tables[-1]:
            self.tables[-1][-1][-1] += " | "

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self._inside:
            self.scripts.append(data)
        elif "style" not in self._inside:
            self.text += data
            if {"td", "th"} & set(self._inside):
                self.tables[-1][-1][-1] += data


def figure(page, div_id):
    """Return traces and layout of one figure."""
    rest = (
        page[page.index(f'"{div_id}",', page.index(f'id="{div_id}"')) :].split(",", 1)[1].lstrip()
    )
    traces, end = json.JSONDecoder().raw_decode(rest)
    layout, _ = json.JSONDecoder().raw_decode(rest[end:].lstrip(", \n"))
    return traces, layout
