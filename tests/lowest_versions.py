"""Print all run-time dependencies at their lower bounds, for the run that tests those bounds."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
lines = [*project["dependencies"], *extras["compare"], *extras["train"]]
pins = [line.replace(">=", "==") for line in lines if not line.startswith("nextbar")]
sys.stdout.write("\n".join(pins) + "\n")
