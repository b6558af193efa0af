"""Lines in a plane, as SVG: shares from a least to 1 over whatever."""

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

_COLOURS = ("#999999", "#1f6feb", "#d97706", "#15803d", "#9333ea", "#be123c", "#0e7490", "#555555")
_LEFT, _TOP, _WIDTH, _HEIGHT = 70, 30, 620, 400
_STEPS = 5


class Dot(Struct, frozen=True):
    x: float
    y: float
    title: str = ""


def chart(
    lines: Mapping[str, Sequence[Dot]],
    title: str,
    along: str,
    up: str,
    least: float,
    mark: float | None = None,
) -> str:
    """`least`: where the upright axis begins; `mark`: a height to be seen at once."""
    most = max([0.01, *(dot.x for dots in lines.values() for dot in dots)])

    def x(value: float) -> float:
        return _LEFT + value / most * _WIDTH

    def y(value: float) -> float:
        return _TOP + (1 - value) / (1 - least) * _HEIGHT

    def text(at: tuple[float, float], words: str, anchor: str = "middle", more: str = "") -> str:
        return f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'

    def across(height: float, colour: str) -> str:
        return f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{height:.1f}" y2="{height:.1f}" stroke="{colour}"/>'

    high = _TOP + _HEIGHT + 60 + 18 * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {high}" font-family="sans-serif" font-size="13">',
        f'<rect width="720" height="{high}" fill="white"/>',
        text((_LEFT, 20), title, "start", ' font-weight="bold"'),
    ]
    for step in range(_STEPS + 1):
        value = least + (1 - least) * step / _STEPS
        parts += [
            across(y(value), "#eee"),
            text((_LEFT - 8, y(value) + 4), f"{value:.2f}", "end"),
        ]
        value = most * step / _STEPS
        label = f"{value:,.0f}" if most > _STEPS else f"{value:.2f}"
        parts.append(text((x(value), _TOP + _HEIGHT + 18), label))
    if mark is not None:
        parts += [across(y(mark), "#d33"), text((_LEFT - 8, y(mark) + 4), f"{mark:g}", "end")]
    parts.append(text((_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 38), along))
    middle = _TOP + _HEIGHT / 2
    parts.append(text((16, middle), up, more=f' transform="rotate(-90 16 {middle:.0f})"'))
    for number, (name, dots) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{x(dot.x):.1f},{y(dot.y):.1f}" for dot in dots)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts.extend(
            f'<circle cx="{x(dot.x):.1f}" cy="{y(dot.y):.1f}" r="3" fill="{colour}">'
            f"<title>{escape(name)} {escape(dot.title)}</title></circle>"
            for dot in dots
        )
        at = _TOP + _HEIGHT + 52 + 18 * number
        parts.append(f'<rect x="{_LEFT}" y="{at}" width="12" height="12" fill="{colour}"/>')
        parts.append(text((_LEFT + 18, at + 11), name, "start"))
    parts.append("</svg>")
    return "\n".join(parts)
