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
    target: str
    met: bool


def markdown(figures: Figures, rows: list[Row]) -> str:
    lines = ["| | original | ours | ratio | target |", "|---|---:|---:|---:|---|"]
    for row in rows:
        target = row.target if row.met else f"{row.target}: **missed**"
        lines.append(f"| {row.what} | {row.original} | {row.ours} | {row.ratio} | {target} |")
    about = figures.about
    lines += ["", f"Ganeti of Debian {about['suite']}, {about['cores']} cores, {about['began']}."]
    if figures.reused:
        lines.append(f"Some of the original's figures are from an earlier call: {figures.reused[0]}.")
    return "\n".join(lines) + "\n"


def faster(original: float | None, ours: float | None, target: float) -> tuple[str, str, bool]:
    """The last three columns where ours must be `target` times faster; None is a time that was never reached."""
    text = f"at least {target:g} times faster"
    if original is None or ours is None:
        return "-", text, False
    return f"{original / ours:.1f} times faster", text, original / ours >= target


def seconds(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.0f} s"
