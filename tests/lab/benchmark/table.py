"""The table, in Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.figures import Figures


@dataclass(frozen=True)
class Row:
    what: str
    original: str
    ours: str
    ratio: str
    wanted: str
    met: bool


def markdown(figures: Figures, rows: list[Row]) -> str:
    lines = ["| | original | ours | ratio | wanted |", "|---|---:|---:|---:|---|"]
    for row in rows:
        wanted = row.wanted if row.met else f"{row.wanted}: **missed**"
        lines.append(f"| {row.what} | {row.original} | {row.ours} | {row.ratio} | {wanted} |")
    about = figures.about
    lines += ["", f"Ganeti of Debian {about['suite']}, {about['cores']} cores, {about['began']}."]
    if figures.reused:
        lines.append(f"The original's figures are not all of this call: some were measured {figures.reused[0]}.")
    return "\n".join(lines) + "\n"


def faster(original: float | None, ours: float | None, wanted: float) -> tuple[str, str, bool]:
    """The last three columns where ours is to be so many times faster; None is a time that was never reached."""
    text = f"at least {wanted:g} times faster"
    if original is None or ours is None:
        return "-", text, False
    return f"{original / ours:.1f} times faster", text, original / ours >= wanted


def seconds(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.0f} s"
