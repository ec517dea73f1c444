"""The ratios as a picture: SVG, drawn here, so that the same figures are the same file."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmark.report import OURS, Line, number

# Each has a mark of its own besides, for readers who do not see all colours.
COLOURS = {
    "haproxy": "#2a78d6",
    "nginx": "#1baf7a",
    "envoy": "#8a5cd6",
    "caddy": "#d6742a",
    "tcp-door": "#52514e",
}
ROW, TOP, LEFT, WIDTH, RIGHT = 30, 78, 400, 520, 40  # px
SMALLEST, LARGEST = 1 / 8, 8.0  # of the axis, which is logarithmic; what is beyond stands at its end
TICKS = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
FONT = "font-family='system-ui, sans-serif'"


def chart(lines: Sequence[Line], targets: Sequence[str]) -> str:
    """How many times better frontdoor is than each peer, for each figure that a peer has too."""
    peers = [name for name in targets if name in COLOURS]
    rows = [line for line in lines if any(goodness(line, peer) for peer in peers)]
    height = TOP + ROW * len(rows) + 30
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {LEFT + WIDTH + RIGHT} {height}' {FONT} font-size='13'>",
        f"<rect width='{LEFT + WIDTH + RIGHT}' height='{height}' fill='#ffffff'/>",
        _text(12, 24, "How many times better than its peers frontdoor is", "start", "font-size='17' font-weight='600'"),
        *_legend(peers),
        *_axis(height),
    ]
    for index, line in enumerate(rows):
        parts += _row(line, peers, TOP + ROW * index + ROW / 2)
    return "\n".join([*parts, "</svg>", ""])


def goodness(line: Line, peer: str) -> float | None:
    """How many times better frontdoor is: above 1 is better, whatever the figure; None where it is not known."""
    ratio = line.ratio(peer)
    if not ratio or line.medians[OURS] <= 0:
        return None
    return ratio if line.figure.more_is_better else 1 / ratio


def place(value: float) -> float:
    """Where on the axis a value stands, in px."""
    value = min(max(value, SMALLEST), LARGEST)
    return LEFT + WIDTH * math.log(value / SMALLEST) / math.log(LARGEST / SMALLEST)


def _axis(height: int) -> list[str]:
    parts = []
    for tick in TICKS:
        x = place(tick)
        stroke = "stroke='#52514e' stroke-width='1.5'" if tick == 1 else "stroke='#e1e0d9'"
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP - 8}' y2='{height - 26}' {stroke}/>")
        label = f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}"
        parts.append(_text(x, height - 9, label, "middle", "fill='#52514e'"))
    parts.append(_text(place(1) - 8, TOP - 14, "← worse", "end", "fill='#52514e'"))
    parts.append(_text(place(1) + 8, TOP - 14, "better →", "start", "fill='#52514e'"))
    return parts


def _legend(peers: Sequence[str]) -> list[str]:
    parts, x = [], 12.0
    for peer in peers:
        parts.append(_mark(peer, x + 6, 48))
        parts.append(_text(x + 18, 52, f"against {peer}"))
        x += 150
    return parts


def _row(line: Line, peers: Sequence[str], y: float) -> list[str]:
    parts = [_text(LEFT - 14, y + 4, line.figure.title, "end")]
    for peer in peers:
        value = goodness(line, peer)
        if value is None:
            continue
        wanted = line.figure.wanted.get(peer)
        limit = f"; wanted: {'≥' if line.figure.more_is_better else '≤'} {wanted:g}" if wanted else ""
        ratio = f"{line.figure.title}, frontdoor / {peer}: {number(line.ratio(peer))}{limit}"
        parts.append(f"<g><title>{escape(ratio)}</title>{_mark(peer, place(value), y)}</g>")
    return parts


def _mark(peer: str, x: float, y: float) -> str:
    style = f"fill='{COLOURS[peer]}' fill-opacity='0.85' stroke='#ffffff'"
    if peer == "haproxy":
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='6' {style}/>"
    if peer == "nginx":
        return f"<rect x='{x - 5:.1f}' y='{y - 5:.1f}' width='10' height='10' {style}/>"
    if peer == "caddy":
        return f"<path d='M{x:.1f} {y - 7:.1f} l7 7 l-7 7 l-7 -7 z' {style}/>"
    if peer == "tcp-door":
        return f"<rect x='{x - 2:.1f}' y='{y - 8:.1f}' width='4' height='16' {style}/>"
    return f"<path d='M{x:.1f} {y - 7:.1f} l7 12 h-14 z' {style}/>"


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "fill='#0b0b0b'") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {more}>{escape(text)}</text>"
