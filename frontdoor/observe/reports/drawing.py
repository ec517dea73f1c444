"""What a picture is drawn from: elements of SVG 1.1 as text, and the look of them all, in light and dark.

Whatever is said in it is escaped here, and nowhere else: names of doors and versions, and what a backend has printed,
come from others.
"""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from frontdoor.control.wording import printable

STYLE = """
text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#1b1f24}
.bg{fill:#ffffff}.card{fill:#f6f8fa;stroke:#d1d9e0}.soft{fill:#59636e}.small{font-size:12px}.big{font-size:22px}
.strong{font-weight:600}.head{font-size:26px;font-weight:600}.pill{font-size:15px;font-weight:600;fill:#ffffff}
.code{font-family:ui-monospace,Menlo,Consolas,monospace}
.num{font-variant-numeric:tabular-nums}.end{text-anchor:end}.mid{text-anchor:middle}
.grid{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#818b98;stroke-width:1}
.mark{stroke:#59636e;stroke-width:1.5;stroke-dasharray:4 3}.switch{stroke:#1b1f24;stroke-width:2}
.old{stroke:#b35900}.new{stroke:#0a5fd6}.line{fill:none;stroke-width:2.5;stroke-linejoin:round}
.old-fill{fill:#b35900}.new-fill{fill:#0a5fd6}.area{fill-opacity:.13}
.good{fill:#1a7f37}.bad{fill:#c4242e}.warn{fill:#9a6700}.plain{fill:#0a5fd6}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.bg{fill:#0d1117}.card{fill:#161b22;stroke:#30363d}.soft{fill:#9198a1}
.grid{stroke:#2b323b}.axis{stroke:#656c76}.mark{stroke:#9198a1}.switch{stroke:#e6edf3}
.old{stroke:#f0983a}.new{stroke:#6cb0ff}.old-fill{fill:#f0983a}.new-fill{fill:#6cb0ff}.area{fill-opacity:.18}
.good{fill:#7ee2a0}.bad{fill:#ff9d96}.warn{fill:#f2cc60}.plain{fill:#8cc2ff}.pill{fill:#0d1117}
}
""".strip()

_LETTER = 0.56
"""Of the size of a font: how wide a letter is, about."""


def write(x: float, y: float, words: str, kind: str = "") -> str:
    """Words at a place: the left end of their line, unless ``kind``, their classes, says otherwise."""
    return f'<text x="{x:.1f}" y="{y:.1f}"{_class(kind)}>{safe(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, *, round_: float = 6) -> str:
    """A rectangle."""
    size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" rx="{round_:g}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size}{_class(kind)}/>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_class(kind)}/>'


def trace(places: Sequence[tuple[float, float]], kind: str, *, floor: float | None = None) -> str:
    """A line through these places; with ``floor`` the area between it and that height."""
    words = [f"{x:.1f} {y:.1f}" for x, y in places]
    if floor is not None:
        words = [f"{places[0][0]:.1f} {floor:.1f}", *words, f"{places[-1][0]:.1f} {floor:.1f}"]
    return f'<path d="M{" L".join(words)}{"Z" if floor is not None else ""}"{_class(kind)}/>'


def sheet(parts: Sequence[str], width: int, height: float, name: str, title: str, description: str) -> str:
    """The whole picture. ``name``: of this picture among others on a page; the last two are for who cannot see it."""
    ids = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    size = f'viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="{ids}-title {ids}-desc">',
        f'<title id="{ids}-title">{safe(title)}</title>',
        f'<desc id="{ids}-desc">{safe(description)}</desc>',
        f"<style>{STYLE}</style>",
        box(0, 0, width, height, "bg", round_=0),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def safe(words: str) -> str:
    """As XML has it; control characters, which it does not have (XML 1.0 §2.2), as Python writes them."""
    return escape(printable(words))


def wide(words: str, size: float = 14) -> float:
    """How wide words are, about: nobody here has the font."""
    return len(words) * size * _LETTER


def fold(words: str, width: float, lines: int, size: float = 14) -> list[str]:
    """Break words into lines of that width; what does not fit into so many of them is left out, and that is seen."""
    room = max(8, int(width / (size * _LETTER)))
    found: list[str] = [""]
    for word in words.split():
        for piece in [word[start : start + room] for start in range(0, len(word), room)]:
            if found[-1] and len(found[-1]) + 1 + len(piece) > room:
                found.append("")
            found[-1] += f" {piece}" if found[-1] else piece
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1][: room - 1]}…"]
    return found if found != [""] else []


def _class(kind: str) -> str:
    return f" class={quoteattr(kind)}" if kind else ""
