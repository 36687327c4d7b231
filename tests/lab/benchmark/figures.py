"""What was measured, saved at once, so that an interrupted benchmark loses only its last figure."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.commands import LabError

FILE = "figures.json"

# What must be the same for figures to be comparable.
SAME = ("suite", "instances", "cores")


@dataclass(frozen=True)
class Figures:
    """Figures by name, such as `hook/original`; each is a JSON object that its part understands."""

    directory: Path
    about: dict[str, Any]
    measured: dict[str, Any]

    @classmethod
    def begin(cls, directory: Path, suite: str, instances: int, reuse: Path | None) -> Figures:
        """A new set; with `reuse`, the original's figures from an earlier one count as measured."""
        about = {
            "began": time.strftime("%Y-%m-%d %H:%M"),
            "suite": suite,
            "instances": instances,
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load when it began": round(os.getloadavg()[0], 2),
        }
        measured = {}
        if reuse is not None:
            earlier = cls.read(reuse)
            for key in SAME:
                if earlier.about[key] != about[key]:
                    raise LabError(f"{reuse} cannot be reused: its {key} is {earlier.about[key]}, not {about[key]}")
            originals = {name: value for name, value in earlier.measured.items() if name.endswith("/original")}
            measured = {name: {"reused": earlier.about["began"]} | value for name, value in originals.items()}
        directory.mkdir(parents=True, exist_ok=True)
        return cls(directory, about, measured)

    @classmethod
    def load(cls, directory: Path) -> Figures:
        """The last set."""
        return cls.read(directory / FILE)

    @classmethod
    def read(cls, file: Path) -> Figures:
        try:
            content = json.loads(file.read_text())
            return cls(file.parent, content["about"], content["measured"])
        except (OSError, ValueError, KeyError) as error:
            raise LabError(f"no figures in {file}: {error!r}; measure first") from error

    @property
    def reused(self) -> list[str]:
        """When the reused figures were measured."""
        return sorted({value["reused"] for value in self.measured.values() if "reused" in value})

    def keep(self, name: str, value: dict[str, Any]) -> None:
        self.measured[name] = value
        new = self.directory / f"{FILE}.new"
        new.write_text(json.dumps({"about": self.about, "measured": self.measured}) + "\n")
        new.replace(self.directory / FILE)
