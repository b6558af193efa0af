"""Bars and curves as SVG. No library: a rectangle is a rectangle."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

COLOURS = ("#6e7781", "#1f6feb", "#2da44e", "#d29922", "#8957e5", "#cf222e")


class Curves(Struct, frozen=True, kw_only=True):
    """Several values over one logarithmic axis."""

    title: str
    x_name: str
    x: Sequence[float]
    curves: Mapping[str, Sequence[float]]


def bars(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Values by group and name, from left to right; one colour a name."""
    width, height, left, top = 900, 260, 70, 40
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    colours = dict(zip(names, COLOURS, strict=False))
    highest = max((v for group in groups.values() for v in group.values()), default=1.0) * 1.08
    out = [_opened(left + width + 20, top + height + 56, title, left)]
    for mark in marks(highest):
        y = top + height * (1 - mark / highest)
        out.append(_line(left, left + width, y) + _text(left - 6, y + 4, f"{mark:,.10g}", "end"))
    each = width / max(1, len(groups))
    thick = each * 0.8 / max(1, len(names))
    for at, (group, values) in enumerate(groups.items()):
        x = left + at * each + each * 0.1
        for name, value in values.items():
            y = top + height * (1 - value / highest)
            out.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{thick * 0.92:.1f}" '
                f'height="{top + height - y:.1f}" fill="{colours[name]}"/>'
                + _text(x + thick * 0.46, y - 4, short(value), "middle", 10)
            )
            x += thick
        out.append(_text(left + (at + 0.5) * each, top + height + 16, group, "middle"))
    return "\n".join([*out, *_legend(colours, left, top + height + 44), "</svg>"]) + "\n"


def grid(title: str, panels: Sequence[Curves], columns: int = 2) -> str:
    """Panels side by side, each with its own axes; x is logarithmic, y begins at 0."""
    wide, high, left, top = 470, 236, 60, 44
    rows = -(-len(panels) // columns)
    out = [_opened(columns * wide + 10, top + rows * high, title, left)]
    for number, panel in enumerate(panels):
        out += _panel(panel, left + number % columns * wide, top + number // columns * high + 20)
    return "\n".join([*out, "</svg>"]) + "\n"


def _panel(panel: Curves, left: float, top: float) -> list[str]:
    width, height = 380.0, 130.0
    highest = max((v for curve in panel.curves.values() for v in curve), default=1.0) * 1.1 or 1.0
    lowest_x, highest_x = max(min(panel.x), 1), max(*panel.x, 2)
    spread = math.log(highest_x / lowest_x) or 1.0

    def x_of(value: float) -> float:
        return left + width * math.log(max(value, lowest_x) / lowest_x) / spread

    out = [_text(left, top - 8, panel.title, "start", 12, bold=True)]
    for mark in marks(highest):
        y = top + height * (1 - mark / highest)
        out.append(_line(left, left + width, y) + _text(left - 6, y + 4, short(mark), "end"))
    out += [_text(x_of(x), top + height + 15, short(x), "middle") for x in panel.x]
    out.append(_text(left + width / 2, top + height + 30, panel.x_name, "middle"))
    colours = dict(zip(panel.curves, COLOURS[1:], strict=False))
    for name, curve in panel.curves.items():
        points = [
            (x_of(x), top + height * (1 - y / highest))
            for x, y in zip(panel.x, curve, strict=False)
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(
            f'<polyline points="{joined}" fill="none" stroke="{colours[name]}" stroke-width="2"/>'
        )
        out += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>' for x, y in points
        ]
    return [*out, *_legend(colours, left, top + height + 46)]


def marks(highest: float) -> list[float]:
    """Round values from 0, at most six."""
    step = 10 ** math.floor(math.log10(highest / 2))
    step = next(step * m for m in (1, 2, 5, 10) if highest / (step * m) <= 5)
    return [step * i for i in range(int(highest / step) + 1)]


def short(value: float) -> str:
    """1200 is 1.2k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _opened(width: float, height: float, title: str, left: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="system-ui, sans-serif" font-size="11"><rect width="100%" height="100%" '
        f'fill="#fff"/>{_text(left, 20, title, "start", 15, bold=True)}'
    )


def _line(x1: float, x2: float, y: float) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, size: int = 11, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight} '
        f'fill="#24292f">{escape(text)}</text>'
    )


def _legend(colours: Mapping[str, str], left: float, y: float) -> list[str]:
    out: list[str] = []
    for name, colour in colours.items():
        out.append(f'<rect x="{left:.0f}" y="{y - 4:.1f}" width="14" height="4" fill="{colour}"/>')
        out.append(_text(left + 19, y + 1, name, "start"))
        left += 40 + 6 * len(name)
    return out
