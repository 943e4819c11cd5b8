"""Check an installed wheel from an empty folder, in an environment without the extras."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

EXPECTED = {
    *(f"nextbar/{name}/py.typed" for name in ("signals", "strategies", "training", "backtests")),
    *(f"nextbar/signals/data/{name}.csv.gz" for name in ("AAPL", "MSFT", "IBM", "GOOG")),
    "nextbar/signals/data/sample.onnx",
    "nextbar/signals/data/CREDITS.md",
    "nextbar/signals/sources/yahoo.py",
    "nextbar/training/recipes.py",
    *(
        f"nextbar/training/recipes/{path.name}"
        for path in (Path(__file__).parents[1] / "training" / "recipes").glob("*.toml")
    ),
    "nextbar/backtests/report/__init__.py",
    "nextbar/backtests/audit/__init__.py",
    "nextbar/backtests/evidence/__init__.py",
    "nextbar/backtests/report/report.html",
    "nextbar/backtests/cli.py",
}

EXAMPLE = """
import sys
import backtrader as bt
from nextbar.signals import LSTMDirection, sample_bars, sample_model

cerebro = bt.Cerebro()
cerebro.adddata(bt.feeds.PandasData(dataname=sample_bars("AAPL")))
cerebro.add_signal(bt.SIGNAL_LONGSHORT, LSTMDirection, model=sample_model())
cerebro.addanalyzer(bt.analyzers.Transactions, _name="fills")
(strategy,) = cerebro.run()
assert len(strategy.analyzers.fills.get_analysis()) > 10, "the indicator did not trade"
assert not {"tensorflow", "keras", "yfinance"} & set(sys.modules)
"""


def check(condition: bool, message: str) -> None:
    if not condition:
        sys.exit(f"wheel: {message}")


def main(wheel: str) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    check(names >= EXPECTED, f"missing {sorted(EXPECTED - names)}")
    inside = {name.split("/")[0] for name in names}
    metadata = next(name for name in inside if name.endswith(".dist-info"))
    check(inside == {"nextbar", metadata}, f"holds {sorted(inside)}")
    check("nextbar/__init__.py" not in names, "holds nextbar/__init__.py")
    check(not any("/tests/" in name or "/test_" in name for name in names), "holds tests")
    check(any("LICENSE" in name for name in names), "holds no licence")
    for absent in ("tensorflow", "keras", "tf2onnx", "plotly", "yfinance"):
        check(find_spec(absent) is None, f"the base install brings {absent}")
    check(not list(Path.cwd().iterdir()), "run this from an empty folder")
    subprocess.run([sys.executable, "-W", "error", "-c", EXAMPLE], check=True)
    nextbar = Path(sys.executable).with_name("nextbar")
    model = subprocess.run(
        [sys.executable, "-c", "import nextbar.signals as s; print(s.sample_model())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for command in (
        ["--version"],
        ["bars", "AAPL", "--json"],
        ["recipes", "stacked-60"],
        ["inspect", model, "--json"],
        ["signal", "AAPL", "--model", model, "--json"],
        ["audit", "nextbar.signals:EMADirection", "--bars", "300"],
    ):
        subprocess.run([nextbar, *command], check=True, stdout=subprocess.DEVNULL)
    refused = subprocess.run([nextbar, "train", "AAPL"], capture_output=True, text=True)
    check(refused.returncode == 2, f"training without the extra ended with {refused.returncode}")
    check("nextbar[train]" in refused.stderr, f"said {refused.stderr!r}")
    refused = subprocess.run(
        [nextbar, "compare", "AAPL", "--model", model], capture_output=True, text=True
    )
    check(refused.returncode == 2, f"comparing without the extra ended with {refused.returncode}")
    check("nextbar[compare]" in refused.stderr, f"said {refused.stderr!r}")
    sys.stdout.write("wheel: complete, and works without the extras\n")


if __name__ == "__main__":
    main(sys.argv[1])
