"""Curves as SVG: panels above each other over a time. No library: a polyline is a polyline."""

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 150, 70, 40, 34
COLOURS = ("#1f6feb", "#d29922", "#8957e5", "#2da44e", "#cf222e", "#57606a", "#bf3989")


class Panel(Struct, frozen=True, kw_only=True):
    title: str
    curves: Mapping[str, Sequence[float]]
    """Values at even intervals, by name; the same name has the same colour in every panel."""
    logarithmic: bool = False


Tick = tuple[float, str]
"""Where it stands, as a share of the time, and what it says."""
_DAY: Sequence[Tick] = [(hour / 24, f"{hour}:00") for hour in range(0, 25, 3)]


def drawn(title: str, panels: Sequence[Panel], ticks: Sequence[Tick] = _DAY) -> str:
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    colours = dict(zip(names, COLOURS, strict=False))
    high = TOP + len(panels) * (HEIGHT + GAP) + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {high}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="18" font-size="15" '
        f'font-weight="600">{title}</text>',
    ]
    for index, panel in enumerate(panels):
        out += _panel(panel, TOP + index * (HEIGHT + GAP) + 14, colours, ticks)
    at = LEFT
    for name in names:
        out.append(
            f'<rect x="{at}" y="{high - 18}" width="14" height="4" fill="{colours[name]}"/>'
            f'<text x="{at + 19}" y="{high - 12}">{name}</text>'
        )
        at += 40 + 7 * len(name)
    return "\n".join([*out, "</svg>"]) + "\n"


def _panel(
    panel: Panel, top: float, colours: Mapping[str, str], ticks: Sequence[Tick]
) -> list[str]:
    values = [value for curve in panel.curves.values() for value in curve]
    highest = max(values) * (1 if panel.logarithmic else 1.05) or 1
    lowest = max(min(values), highest / 1e6) if panel.logarithmic else 0.0

    def y(value: float) -> float:
        if panel.logarithmic:
            share = math.log(max(value, lowest) / lowest) / math.log(highest / lowest)
        else:
            share = value / highest
        return top + HEIGHT * (1 - share)

    out = [f'<text x="{LEFT}" y="{top - 5}" font-weight="600">{panel.title}</text>']
    out += [
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end" fill="#555">{mark:,.10g}</text>'
        for mark in _marks(lowest, highest, panel.logarithmic)
    ]
    out += [
        f'<text x="{LEFT + WIDTH * share:.0f}" y="{top + HEIGHT + 14}" text-anchor="middle" '
        f'fill="#555">{said}</text>'
        for share, said in ticks
    ]
    for name, curve in panel.curves.items():
        points = " ".join(
            f"{LEFT + WIDTH * i / (len(curve) - 1):.1f},{y(v):.1f}" for i, v in enumerate(curve)
        )
        out.append(
            f'<polyline points="{points}" fill="none" stroke="{colours[name]}" stroke-width="1.4"/>'
        )
    return out


def _marks(lowest: float, highest: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        first, last = math.ceil(math.log10(lowest)), math.floor(math.log10(highest))
        return [10.0**power for power in range(first, last + 1)]
    step = 10 ** math.floor(math.log10(highest / 2))
    step = next(step * m for m in (1, 2, 5, 10) if highest / (step * m) <= 5)
    return [step * i for i in range(int(highest / step) + 1)]
