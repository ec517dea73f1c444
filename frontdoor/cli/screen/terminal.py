"""The terminal: taken over, drawn on, and given back as it was, whatever happens in between.

While it is taken: another screen, no cursor, no echo, keys at once (cbreak of termios(3): Ctrl-C and Ctrl-Z are signals
still), and no wrapping at the right edge (DECAWM): should a terminal find a character wider than we do, it costs
the end of that one row. Each row is written at its place, so no row can move another.
"""

from __future__ import annotations

import io
import os
import select
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from frontdoor.cli.screen.marks import ASCII, BLOCKS, Marks

# Another screen, no wrapping, bracketed paste, no cursor; and back, in the other order.
_ENTER = "\x1b[?1049h\x1b[?7l\x1b[?2004h\x1b[?25l\x1b[H\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?2004l\x1b[?7h\x1b[?1049l"
_CLEAR_LINE, _CLEAR = "\x1b[K", "\x1b[0m\x1b[2J"

PATIENCE = 1.0
"""Seconds in which a terminal that is stopped should go on, to be given back."""

_LOCAL, _CHARACTERS = 3, 6  # in what tcgetattr gives


def unfit(environ: Mapping[str, str]) -> str:
    """Return why there can be no screen here; empty: there can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "this is no terminal"
    if environ.get("TERM", "dumb") == "dumb":
        return "this terminal cannot place a cursor (TERM is dumb, or not set)"
    return ""


def marks(environ: Mapping[str, str], encoding: str) -> Marks:
    """Return what this terminal can show."""
    try:
        "█▁…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return ASCII if environ.get("TERM") == "linux" else BLOCKS  # the console's font has not all of them


class TerminalGone(Exception):  # noqa: N818 - as the command line's other ends
    """Nobody is there any more who could read or type."""


class Terminal:
    """The one that this command was typed in."""

    def __init__(self, typed: int, screen: int, encoding: str) -> None:
        """`typed`, `screen`: the descriptors that keys come from and rows go to."""
        self._typed = typed
        self._screen = screen
        self._encoding = encoding
        self._before: list[Any] | None = None
        """Its modes when it was taken over first: whoever had it since may have left it in any."""
        self._taken = False
        self._console = Console(file=io.StringIO(), force_terminal=True, highlight=False, legacy_windows=False)
        """Knows which colours the terminal has; NO_COLOR is its to honour."""
        self._shown: list[str] = []
        """The rows that are on the screen."""
        self._size = (0, 0)
        self.written = 0
        """Rows that were written so far."""

    def __repr__(self) -> str:
        return f"<Terminal {self._size}>"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take it over, and give it back."""
        try:
            self.enter()
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Take it over, at first or again: who stopped us may have left it in any state."""
        # First of all: of a process in the background it would stop us before anything is on the screen.
        modes = termios.tcgetattr(self._typed)
        if self._before is None:
            self._before = modes
        raw = termios.tcgetattr(self._typed)
        raw[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
        raw[_CHARACTERS][termios.VMIN], raw[_CHARACTERS][termios.VTIME] = 1, 0
        termios.tcsetattr(self._typed, termios.TCSANOW, raw)
        self._taken = True
        self._write(_ENTER)
        self.forget()

    def leave(self) -> None:
        """Give it back as it was. A terminal that has gone is no error."""
        if self._before is None or not self._taken:
            return
        self._taken = False
        try:
            if self._takes(PATIENCE):
                self._write(_LEAVE)
        except TerminalGone:
            pass  # then there is nothing to give back
        try:
            termios.tcsetattr(self._typed, termios.TCSANOW, self._before)
        except termios.error:
            pass  # likewise

    @property
    def keys(self) -> int:
        """The descriptor that what is typed comes from."""
        return self._typed

    def forget(self) -> None:
        """What is on the screen is not known any more: the next drawing writes every row."""
        self._shown = []

    def read(self) -> bytes:
        """Return what was typed. Raises :exc:`TerminalGone`."""
        try:
            data = os.read(self._typed, 4096)
        except OSError:
            data = b""
        if not data:
            raise TerminalGone
        return data

    def _takes(self, patience: float) -> bool:
        """Whether something can be written within so many seconds: not after a Ctrl-S."""
        return bool(select.select([], [self._screen], [], patience)[1])

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows. A terminal that does not know says 0. Raises :exc:`TerminalGone`."""
        try:
            columns, rows = os.get_terminal_size(self._screen)
        except OSError:
            raise TerminalGone from None
        return columns or 80, rows or 24

    def draw(self, lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Write those rows that are not there already. Raises :exc:`TerminalGone`.

        On a terminal that is stopped (Ctrl-S) nothing is written: the next drawing may find it going on.
        """
        if not self._takes(0):
            return
        changed = ""
        if size != self._size:
            self._size = size
            self.forget()
            self._console.size = size
        if not self._shown:
            changed = _CLEAR
            self._shown = [""] * len(lines)
        for row, line in enumerate(lines):
            text = self._rendered(line)
            if text != self._shown[row]:
                self._shown[row] = text
                self.written += 1
                # Cleared first: behind the last column, which is where the cursor stays, that would be the last column.
                changed += f"\x1b[{row + 1};1H{_CLEAR_LINE}{text}\x1b[0m"
        if changed:
            self._write(changed)

    def _rendered(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True)
        return captured.get()

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "replace")
        try:
            while data:
                data = data[os.write(self._screen, data) :]
        except OSError:
            raise TerminalGone from None
