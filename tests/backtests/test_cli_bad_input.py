"""Bad input: exit code 2, one line that names the place and what to do, nothing half-written."""

from __future__ import annotations

import ctypes
import datetime as dt
import multiprocessing
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from nextbar.signals.card import seal
from nextbar.signals.sources import alphavantage, network
from onnx import TensorProto, helper

from ..markets import random_bars
from ..models import card_for, lstm_graph, write_model
from .test_cli import invoke, ok, write_bars

# keras 3.15 reads its variables with numpy 1's `__array__`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUICK = ("--epochs", "1", "--units", "2", "--window", "8")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def refused(*args: object) -> str:
    """Run a command that must fail and change nothing here; return its line."""
    before = tree(Path.cwd())
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.endswith((".\n", "?\n", ")\n")), result.stderr
    for noise in ("Traceback", "pydantic", "https://errors", "Input should"):
        assert noise not in result.stderr
    assert tree(Path.cwd()) == before
    return result.stderr.removeprefix("error: ").strip()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NEXTBAR_CACHE", str(tmp_path / "cache"))
    return folder


# --- files of bars -------------------------------------------------------------------------------

ROWS = random_bars(30).round(2).to_csv().splitlines()
DATE = ROWS[10].split(",")[0]
"""Of line 11 of the file."""


def cell(column: int, value: str) -> Callable[[], str]:
    def change() -> str:
        fields = ROWS[10].split(",")
        fields[column] = value
        return "\n".join([*ROWS[:10], ",".join(fields), *ROWS[11:]])

    return change


def dates(change: Callable[[int, str], str]) -> Callable[[], str]:
    def write() -> str:
        rows = [row.split(",", 1) for row in ROWS[1:]]
        return "\n".join([ROWS[0], *(f"{change(i, d)},{rest}" for i, (d, rest) in enumerate(rows))])

    return write


FILES: dict[str, tuple[Callable[[], str | bytes], list[str]]] = {
    "empty": (lambda: b"", ["empty", "expected a header"]),
    "binary": (lambda: bytes(range(256)), ["binary", "expected CSV"]),
    "UTF-16": (lambda: "\n".join(ROWS).encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
    "only a header": (lambda: ROWS[0], ["a header and no rows", "expected one row a bar"]),
    "missing column": (
        lambda: "\n".join(",".join(r.split(",")[:4] + r.split(",")[5:]) for r in ROWS),
        ["missing column close"],
    ),
    "text": (cell(2, "abc"), [f"line 11 ({DATE})", "high is text 'abc'", "Correct or remove"]),
    "NaN": (cell(3, "nan"), [f"line 11 ({DATE})", "low is missing (NaN)", "Correct or remove"]),
    "no value": (cell(5, ""), [f"line 11 ({DATE})", "volume is missing", "Correct or remove"]),
    "inf": (cell(4, "inf"), [f"line 11 ({DATE})", "close is infinite", "Correct or remove"]),
    "negative": (cell(1, "-5"), [f"line 11 ({DATE})", "open -5 is not above zero", "Correct"]),
    "zero": (cell(4, "0"), [f"line 11 ({DATE})", "close 0 is not above zero", "Correct"]),
    "high below low": (cell(2, "1"), [f"line 11 ({DATE})", "high 1 is below low", "Correct"]),
    "close outside": (cell(4, "900"), [f"line 11 ({DATE})", "close 900 is outside", "Correct"]),
    "duplicate": (cell(0, ROWS[9].split(",")[0]), ["line 11", "duplicate", "Correct or remove"]),
    "no date": (cell(0, "yesterday"), ["line 11", "'yesterday'"]),
    "time zone": (dates(lambda _, d: f"{d}T00:00:00+00:00"), ["line 2", "time zone", "convert"]),
    "mixed offsets": (
        dates(lambda i, d: f"{d}T00:00:00-0{4 + i % 2}:00"),
        ["line 2", "time zone", "convert"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file(name: str) -> None:
    content, words = FILES[name]
    made = content()
    Path("bad.csv").write_bytes(made if isinstance(made, bytes) else made.encode())
    text = refused("bars", "--csv", "bad.csv", "--out", "out/copy.csv")
    assert text.startswith("bad.csv: ")
    assert all(word in text for word in words), text


@pytest.mark.parametrize("command", ["bars", "train", "compare"])
def test_no_file_and_a_folder(command: str) -> None:
    assert "none.csv: there is no such file" in refused(command, "--csv", "none.csv")
    Path("folder.csv").mkdir()
    assert "folder.csv: expected a file, found a folder" in refused(command, "--csv", "folder.csv")


# --- bars that do not suit -----------------------------------------------------------------------


def test_fewer_bars_than_the_window(here: Path) -> None:
    write_bars(here, n=5)
    write_model(here / "m.onnx", 8)
    bars = ("--csv", "TEST.csv")
    assert "5 bars, the model needs 8" in refused("signal", *bars, "--model", "m.onnx")
    needed = "TEST: 5 bars, and 283 are needed before the first test"
    assert needed in refused("compare", *bars, "--model", "m.onnx")
    assert "training rows" in refused("train", *bars, *QUICK)
    assert needed in refused("compare", *bars, *QUICK)
    write_bars(here, n=1)
    assert "1 bars, the model needs 8" in refused("signal", *bars, "--model", "m.onnx")


def test_too_few_bars_for_the_folds_are_refused_before_training(here: Path) -> None:
    write_bars(here, n=300)
    text = refused("compare", "--csv", "TEST.csv", *QUICK, "--folds", "20")
    assert "300 shared dates, 283 of them before the first test, are too few for 20 folds" in text
    assert "40 from it on" in text
    text = refused("compare", "--csv", "TEST.csv", *QUICK, "--first-test", "2001-08-01")
    assert "at least 283 are needed" in text
    write_model(here / "m.onnx", 300)
    text = refused("compare", "--csv", "TEST.csv", "--model", "m.onnx")
    assert "300 bars, and 330 are needed" in text


def test_a_fold_of_one_class_only(here: Path) -> None:
    bars = random_bars(520)
    steps = 1.01 ** np.arange(520)
    pd.DataFrame(
        dict.fromkeys(("open", "high", "low", "close"), 100 * steps) | {"volume": 1.0},
        bars.index,
    ).to_csv("TEST.csv", index_label="date")
    text = refused("compare", "--csv", "TEST.csv", *QUICK, "--workers", "1")
    assert "TEST, fold 0 (test from" in text
    assert "have the same label" in text


def test_no_volume_for_a_model_that_needs_it(here: Path) -> None:
    (random_bars(520) * [1, 1, 1, 1, 0]).to_csv("TEST.csv")
    write_model(here / "m.onnx", 8, uses_volume=True)
    for command in ("signal", "compare"):
        text = refused(command, "--csv", "TEST.csv", "--model", "m.onnx")
        assert "the model uses volume, and the bars have none" in text
    for command in ("train", "compare"):
        text = refused(command, "--csv", "TEST.csv", *QUICK, "--features", "return,volume")
        assert "need traded volume" in text


def test_a_model_for_another_interval(here: Path) -> None:
    write_bars(here)
    write_model(here / "m.onnx", 8, interval="1wk")
    for command in ("signal", "compare"):
        text = refused(command, "--csv", "TEST.csv", "--model", "m.onnx")
        assert "a model for bars of 1wk, found 1d" in text


# --- model files ---------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_bytes(lstm_graph(8))


def other_graph(path: Path) -> None:
    model = onnx.load(str(path))
    model.graph.initializer[0].raw_data = bytes(model.graph.initializer[0].raw_data)[::-1]
    onnx.save(model, str(path))


def other_card(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1999-12-31", b"1989-12-31"))


def external(path: Path) -> None:
    model = onnx.ModelProto.FromString(lstm_graph(8))
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    node = helper.make_node("Constant", [], ["far"], value=tensor)
    model.graph.node.append(node)
    path.write_bytes(seal(model.SerializeToString(), card_for(lstm_graph(8), 8)))


MODELS = {
    truncated: "",
    cut_to_nothing: "found none in 0 bytes",
    foreign: "an ONNX file without a nextbar card",
    other_graph: "was changed after the export",
    other_card: "was changed after the export",
    external: "keeps weights in other files",
}


@pytest.mark.parametrize("damage", MODELS)
def test_a_wrong_model_file(damage: Callable[[Path], None], here: Path) -> None:
    write_bars(here)
    damage(write_model(here / "m.onnx", 8))
    for args in (
        ("inspect", "m.onnx"),
        ("signal", "--csv", "TEST.csv", "--model", "m.onnx"),
        ("compare", "--csv", "TEST.csv", "--model", "m.onnx"),
    ):
        text = refused(*args)
        assert "m.onnx: " in text
        assert MODELS[damage] in text


def test_no_model_file(here: Path) -> None:
    write_bars(here)
    write_model(here / "apple.onnx", 8)
    for args in (
        ("inspect", "aple.onnx"),
        ("signal", "--csv", "TEST.csv", "--model", "aple.onnx"),
        ("compare", "--csv", "TEST.csv", "--model", "aple.onnx"),
    ):
        assert "aple.onnx: no such model file. Did you mean 'apple.onnx'?" in refused(*args)
    assert "--model FILE" in refused("signal", "--csv", "TEST.csv")


def test_a_model_and_dates_that_contradict_it(here: Path) -> None:
    bars = random_bars(520)
    write_bars(here)
    model = ("--csv", "TEST.csv", "--model", "m.onnx")
    write_model(here / "m.onnx", 8, train_end=str(bars.index[400].date()))
    text = refused("compare", *model, "--first-test", bars.index[300].date())
    assert f"trained on bars before {bars.index[400].date() + dt.timedelta(days=1)}" in text
    for option in (("--epochs", "3"), ("--seed", "1"), ("--window", "9"), ("--seeds", "5")):
        assert "a given model has its own" in refused("compare", *model, *option)
    write_model(here / "m.onnx", 8, train_end=str(bars.index[-1].date()))
    assert "the last bar of TEST is of" in refused("compare", *model)


# --- sources -------------------------------------------------------------------------------------


def test_no_network_for_yahoo(monkeypatch: pytest.MonkeyPatch) -> None:
    yfinance = pytest.importorskip("yfinance")
    monkeypatch.setattr(yfinance, "download", lambda *_, **__: None)
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)
    for command in ("bars", "train", "compare"):
        text = refused(command, "AAPL", "--source", "yahoo")
        assert "yahoo AAPL: Yahoo sent no bars" in text
        assert "perhaps offline" in text
        assert "The cache holds no AAPL 1d bars" in text


def test_no_network_and_no_key_for_alphavantage(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(alphavantage, "URL", f"http://127.0.0.1:{port}/query")
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv(alphavantage.KEY, "SECRET0123456789")
    text = refused("bars", "IBM", "--source", "alphavantage")
    assert "alphavantage IBM: no connection, perhaps offline" in text
    assert "SECRET" not in text
    monkeypatch.delenv(alphavantage.KEY)
    text = refused("bars", "IBM", "--source", "alphavantage")
    assert f"set the environment variable {alphavantage.KEY}" in text


# --- options -------------------------------------------------------------------------------------

OPTIONS = [
    ("bars", "name at least one symbol"),
    ("bars AAPLE", "Did you mean 'AAPL'?"),
    ("bars AAPL aapl", "AAPL is named twice"),
    ("bars AAPL --csv x.csv", "not both"),
    ("bars --csv a/x.csv --csv b/x.csv", "a/x.csv and b/x.csv would both be x"),
    ("bars x.csv --source csv", "--csv FILE"),
    ("bars AAPL MSFT --out x.csv", "expected one symbol, found AAPL, MSFT"),
    ("bars AAPL --start 2010-13-01", "--start must be a date such as '2020-01-31', found '2010-13"),
    ("bars AAPL --end soon", "--end must be a date such as '2020-01-31', found 'soon'"),
    ("bars AAPL --start 2012-01-05 --end 2012-01-01", "is after end 2012-01-01: swap them"),
    ("bars AAPL --start 2020", "there are bars from 2000-03-01 to 2013-03-01"),
    ("bars AAPL --interval 5m", "interval must be '1d', found '5m'"),
    ("train AAPL MSFT", "expected one symbol"),
    ("train AAPL --test-start 10/11/2010", "--test-start must be a date"),
    ("train AAPL --validation-start x", "--validation-start must be a date"),
    ("train AAPL --test-start 2010-01-01T00:00:00+01:00", "has a time zone"),
    ("train AAPL --test-start 1999-01-01", "no bars before test_start"),
    ("train AAPL --units 8,x", "--units: expected a whole number, found 'x'."),
    ("train AAPL --units 0", "--units: expected at least one layer of at least 1 unit"),
    ("train AAPL --setting head", "--setting: expected NAME=VALUE, found 'head'."),
    ("train AAPL --setting hed=position", "unknown 'hed'. Did you mean 'head'?"),
    ("train AAPL --setting head=positon", "--setting head: unknown 'positon'. Did you mean"),
    ("train AAPL --setting dropout=2", "--setting dropout: expected a number below 1, found '2'."),
    ("train AAPL --setting target=clse", "--setting target: unknown 'clse'. Did you mean 'close'"),
    ("train AAPL --window 5 --setting window=6", "window is given twice"),
    ("train AAPL --setting window=5 --setting window=6", "window is given twice"),
    ("compare AAPL --rivals knm", "--rivals: no rival is called 'knm'. Did you mean 'knn'?"),
    ("compare AAPL --model m.onnx --setting head=position", "a given model has its own"),
    ("train AAPL --epochs 0", "--epochs: expected a number of at least 1, found 0."),
    ("train AAPL --window 1", "--window: expected a number of at least 2, found 1."),
    ("train AAPL --horizon 0", "--horizon: expected a number of at least 1, found 0."),
    ("train AAPL --seed -1", "--seed: expected a number of at least 0, found -1."),
    ("train AAPL --features gap,gap", "expected each name once"),
    ("compare AAPL --first-test foo", "--first-test must be a date"),
    ("compare AAPL --first-test 2030-01-01", "16 from it on"),
    ("compare AAPL --first-test 1999-01-01", "0 of them before the first test"),
    ("compare AAPL --folds 0", "expected at least 1 fold, found 0"),
    ("compare AAPL --folds x", "--folds: expected a whole number, found 'x'"),
    ("compare AAPL --seeds 0", "--seeds: expected a number of at least 1, found 0."),
    ("compare none.toml", "none.toml: cannot be read"),
    ("compare AAPL none.toml", "name one experiment file alone"),
    ("compare AAPL --cost-bps -1", "--cost-bps: expected a number of at least 0, found -1.0."),
    ("compare AAPL --cost-bps nan", "--cost-bps: expected a finite number, found nan."),
    ("compare AAPL --target 0", "--target: expected a number above 0, found 0.0."),
    ("compare AAPL --target 9", "--target: expected a number of at most 1, found 9.0."),
    ("compare AAPL --cash 0", "--cash: expected a number above 0"),
    ("compare AAPL --band -1", "--band: expected a number of at least 0"),
    ("compare AAPL --dead-band 0.5", "--dead-band: expected a number below 0.5"),
    ("compare AAPL --name ../x", "--name: expected at most 100 letters"),
    ("signal AAPL --model m.onnx --close 25:00", "--close: expected a time such as 16:00"),
    ("signal AAPL --model m.onnx --timezone Mars", "unknown time zone 'Mars'"),
    ("signal AAPL --model m.onnx --dead-band 0.5", "--dead-band: expected 0 or more"),
]


@pytest.mark.parametrize(("line", "words"), OPTIONS)
def test_a_wrong_option(line: str, words: str, here: Path) -> None:
    write_model(here / "m.onnx", 8)
    assert words in refused(*line.split())


def test_two_wrong_options_make_one_line() -> None:
    text = refused("compare", "AAPL", "--cost-bps", "-1", "--target", "0")
    assert "--cost-bps: " in text
    assert "; --target: " in text


# --- output --------------------------------------------------------------------------------------


def test_output_below_a_file_and_on_a_folder(here: Path) -> None:
    write_bars(here)
    write_model(here / "m.onnx", 8)
    Path("file").write_text("x")
    Path("folder").mkdir()
    for command in (("bars",), ("train", *QUICK)):
        text = refused(*command, "--csv", "TEST.csv", "--out", "file/deep/x")
        assert "cannot write file/deep/x: " in text
        assert "is not a folder" in text
        text = refused(*command, "--csv", "TEST.csv", "--out", "folder")
        assert "cannot write folder: it is a folder" in text
    for training in (QUICK, ("--model", "m.onnx")):
        text = refused("compare", "--csv", "TEST.csv", *training, "--runs", "file/runs")
        assert "cannot write file/runs/compare-" in text


def without_privileges(folder: str, args: list[str], answer: Any) -> None:
    os.chdir(folder)
    if os.getuid() == 0:
        # Root may write anywhere by a capability; without it, the folder's mode counts again.
        header = struct.pack("Ii", 0x20080522, 0)
        assert ctypes.CDLL(None).capset(header, bytes(24)) == 0
    result = invoke(*args)
    answer.put((result.exit_code, result.stderr))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "args",
    [
        ["bars", "--out", "x.csv"],
        ["train", *QUICK, "--out", "new/x.onnx"],
        ["compare", "--model", "m.onnx", "--runs", "runs"],
    ],
)
def test_a_folder_without_permission(args: list[str], here: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        write_bars(folder)
        write_model(folder / "m.onnx", 8)
        folder.chmod(0o555)
        before = tree(folder)
        args = [*args, "--csv", "TEST.csv"]
        context = multiprocessing.get_context("fork")
        answer = context.SimpleQueue()
        child = context.Process(target=without_privileges, args=(str(folder), args, answer))
        child.start()
        child.join(60)
        code, text = answer.get()
        assert code == 2, text
        assert text.startswith("error: cannot write ")
        assert text.count("\n") == 1
        assert tree(folder) == before
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def with_a_full_disk(limit: int, *args: str) -> str:
    """Run a command that may write no file longer than `limit` bytes; return its line."""
    code = (
        "import resource, tempfile;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from nextbar.backtests.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *args], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: cannot write ")
    assert "Free space" in done.stderr
    return done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no limits for file sizes")
def test_a_full_disk(here: Path) -> None:
    write_bars(here)
    write_model(here / "m.onnx", 8)
    before = tree(here)
    with_a_full_disk(1_000, "bars", "--csv", "TEST.csv", "--out", "new/x.csv")
    with_a_full_disk(1_000, "train", "--csv", "TEST.csv", *QUICK, "--out", "new/x.onnx")
    text = with_a_full_disk(3_000, "compare", "--csv", "TEST.csv", "--model", "m.onnx")
    assert "cells" in text
    assert tree(here) == before
    # Finished models stay, and the run goes on with them.
    few = ("--folds", "1", "--seeds", "1", "--workers", "1")
    text = with_a_full_disk(8_000, "compare", "--csv", "TEST.csv", *QUICK, *few)
    assert {path.name for path in here.rglob("models/TEST/lstm/*")} == {
        "fold0-seed0.onnx", "fold0-seed0.json", "chain.json",
    }  # fmt: skip
    assert not list(here.rglob("results.json"))
    assert not list(here.rglob("*.tmp"))
    stamp = next(here.rglob("lstm/fold0-seed0.onnx")).stat().st_mtime_ns
    ok("compare", "--csv", "TEST.csv", *QUICK, *few)
    assert next(here.rglob("lstm/fold0-seed0.onnx")).stat().st_mtime_ns == stamp
