"""What a part works with: clusters of any size, the two watchers, and figures that are measured only once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.figures import Figures
from lab.__main__ import cache, scratch
from lab.build import image
from lab.lab import Lab, Settings
from lab.watcher import UnderTest


@dataclass
class Bench:
    figures: Figures
    root: Path
    under_test: UnderTest
    box: Path | None
    """The program that serves a cluster in a box, where a part needs it."""
    troubles: list[str] = field(default_factory=list)
    """What went wrong besides missed targets: a fast recovery that left something broken does not count."""
    _lab: Lab | None = None

    @property
    def instances(self) -> int:
        count: int = self.figures.about["instances"]
        return count

    def lab(self, nodes: int) -> Lab:
        """A freshly booted cluster with this many nodes; the previous one is gone."""
        if self._lab is None or self._lab.settings.nodes != nodes:
            self.drop()
            built = image(cache(), self.figures.about["suite"], self.root, scratch() / "build", nodes, self.instances)
            settings = Settings(self.figures.about["suite"], nodes, self.instances, self.under_test, "the benchmark")
            self._lab = Lab(settings, built, scratch())
        self._lab.restore()
        return self._lab

    def drop(self) -> None:
        """Ends the running cluster, if any, so that the next measurement has the machine to itself."""
        if self._lab is not None:
            self._lab.drop()
            self._lab = None

    def measured(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A figure, measured now if it was not measured before."""
        if name not in self.figures.measured:
            print(f"{name} ...", flush=True)
            began = time.monotonic()
            self.figures.keep(name, measure())
            print(f"{name} done in {time.monotonic() - began:.0f} s", flush=True)
        found: dict[str, Any] = self.figures.measured[name]
        return found

    def expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.troubles.append(f"{what}: expected {expected!r}, found {found!r}"[:1500])
