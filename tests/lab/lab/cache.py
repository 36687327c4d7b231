"""Things that are slow to make are made once and kept, outside the repository.

A thing is made in a directory of its own and gets its name only when it is whole, so
an interrupted making is never taken for one. Its name carries a digest of the recipe:
after a change of the recipe it is made again, and what the old one made is removed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cache:
    directory: Path
    unfinished: Path
    """Where this lab makes things; removed when it ends, however it ends."""

    def kept(self, name: str, recipe: str, build: Callable[[Path], None]) -> Path:
        kept = self.directory / f"{name}-{recipe}"
        if kept.exists():
            return kept
        for old in self.directory.glob(f"{name}-????????????"):
            shutil.rmtree(old)
        print(f"building {name} (kept for the next run) ...", flush=True)
        began = time.monotonic()
        place = self.unfinished / name
        place.mkdir(parents=True)
        build(place)
        place.rename(kept)
        print(f"built {name} in {time.monotonic() - began:.0f} s", flush=True)
        return kept
