"""Print the base dependencies at their lower bounds, for the run that tests those bounds."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
sys.stdout.write("\n".join(line.replace(">=", "==") for line in project["dependencies"]) + "\n")
