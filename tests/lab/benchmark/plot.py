"""The plot: how many instances run over time, with the original and with ours.

SVG, with no library. Every colour has enough contrast on white and on dark, because a README is shown on both and a
file has only one set of colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.figures import Figures
from benchmark.parts import hook
from lab.commands import LabError

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 40, 48
INK = "#7a7a7a"
COLOURS = {"original": "#d9730d", "ours": "#2486d6"}

# At which fraction of its height a curve has its name, so that names do not overlap.
NAMED_AT = {"original": 1 / 3, "ours": 2 / 3}

# Minutes and instances between two marks of an axis: the first of these that leaves few enough of them.
STEPS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MARKS = 10


@dataclass(frozen=True)
class Curve:
    name: str
    points: list[tuple[float, int]]
    """Minute, and how many ran from then on."""

    @property
    def last(self) -> tuple[float, int]:
        return self.points[-1]


@dataclass(frozen=True)
class Scale:
    minutes: float
    instances: int

    def x(self, minutes: float) -> float:
        return LEFT + minutes / self.minutes * (WIDTH - LEFT - RIGHT)

    def y(self, instances: float) -> float:
        return HEIGHT - BOTTOM - instances / self.instances * (HEIGHT - TOP - BOTTOM)


def draw(figures: Figures, file: Path) -> None:
    curves = [_curve(figures, name) for name in COLOURS]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_svg(figures, curves))


def _curve(figures: Figures, name: str) -> Curve:
    try:
        points = figures.measured[f"{hook.NAME}/{name}"]["curve"]
    except KeyError:
        raise LabError(f"there is no curve of {name} yet; run: tests/lab/bench {hook.NAME}") from None
    return Curve(name, [(seconds / 60, count) for seconds, count in points])


def _svg(figures: Figures, curves: list[Curve]) -> str:
    about = figures.about
    scale = Scale(max(curve.last[0] for curve in curves) * 1.03, about["instances"])
    title = f"{about['instances']} DRBD instances on {hook.NODES} nodes after a power cut"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' font-family="sans-serif" font-size="13" fill="{INK}" role="img">',
        f"<title>{title}: instances up over time</title>",
        f"<desc>{_description(figures, curves)}</desc>",
        _text(LEFT, 20, f"{title}, each start {hook.HOOK_SECONDS} s longer", "start", 'font-size="14"'),
        *_axes(scale),
        *[line for curve in curves for line in _step(scale, curve)],
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _description(figures: Figures, curves: list[Curve]) -> str:
    reached = "; ".join(_name(curve) for curve in curves)
    reused = f" Partly measured {figures.reused[0]}." if figures.reused else ""
    return f"{reached}. Measured by tests/lab/bench, {figures.about['began']}.{reused}"


def _axes(scale: Scale) -> list[str]:
    lines = []
    bottom, right = scale.y(0), WIDTH - RIGHT
    for count in _marks(scale.instances):
        y = scale.y(count)
        lines.append(_line(LEFT, y, right, y, 0.25))
        lines.append(_text(LEFT - 8, y + 4, f"{count:g}", "end"))
    for minute in _marks(scale.minutes):
        x = scale.x(minute)
        lines.append(_line(x, bottom, x, bottom + 5, 1))
        lines.append(_text(x, bottom + 20, f"{minute:g}", "middle"))
    lines.append(_line(LEFT, bottom, right, bottom, 1))
    lines.append(_text((LEFT + right) / 2, HEIGHT - 8, "minutes since the watcher was started", "middle"))
    middle = (TOP + bottom) / 2
    lines.append(_text(16, middle, "instances up", "middle", f'transform="rotate(-90 16 {middle:.0f})"'))
    return lines


def _step(scale: Scale, curve: Curve) -> list[str]:
    """A curve that keeps its height until the next instance is up, and its name on its right."""
    path, height = "", 0.0
    for minutes, count in curve.points:
        x, y = scale.x(minutes), scale.y(count)
        path += f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f} {y:.1f}"
        height = y
    minutes, up = curve.last
    named_at = up * NAMED_AT[curve.name]
    x = scale.x(next(minutes for minutes, count in curve.points if count >= named_at)) + 12
    colour = COLOURS[curve.name]
    return [
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{scale.x(minutes):.1f}" cy="{height:.1f}" r="3.5" fill="{colour}"/>',
        _text(x, scale.y(named_at) + 14, _name(curve), "start", f'fill="{colour}" font-weight="bold"'),
    ]


def _name(curve: Curve) -> str:
    minutes, up = curve.last
    return f"{curve.name}: {up} up after {minutes:.1f} min"


def _marks(end: float) -> list[float]:
    step = next((step for step in STEPS if end / step <= MARKS), end)
    return [step * index for index in range(int(end / step) + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{INK}" stroke-opacity="{opacity:g}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{text}</text>'.replace(" >", ">")
