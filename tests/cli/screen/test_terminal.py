from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rich.text import Text

from frontdoor.cli.screen.marks import ASCII, BLOCKS
from frontdoor.cli.screen.terminal import Terminal, TerminalGone, marks, unfit

SIZE = (20, 3)


@dataclass
class Pair:
    """A terminal, and whoever sits at it."""

    ours: int
    theirs: int
    terminal: Terminal

    def shown(self) -> str:
        """What was written since the last look."""
        text = b""
        while select.select([self.ours], [], [], 0)[0]:
            text += os.read(self.ours, 65536)
        return text.decode()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = pty.openpty()
    yield Pair(ours, theirs, Terminal(theirs, theirs, "utf-8"))
    for descriptor in (ours, theirs):
        try:
            os.close(descriptor)
        except OSError:
            pass  # a test has closed it


def lines(*texts: str) -> list[Text]:
    return [Text(text, "green") for text in texts]


def test_it_is_given_back_as_it_was(pair: Pair) -> None:
    before = termios.tcgetattr(pair.theirs)
    with pair.terminal.taken():
        taken = termios.tcgetattr(pair.theirs)
        assert not taken[3] & (termios.ECHO | termios.ICANON)
        assert taken[3] & termios.ISIG
        assert pair.shown().startswith("\x1b[?1049h")
    assert termios.tcgetattr(pair.theirs) == before
    assert pair.shown().endswith("\x1b[?25h\x1b[?2004l\x1b[?7h\x1b[?1049l")


def test_it_is_given_back_after_a_mistake(pair: Pair) -> None:
    before = termios.tcgetattr(pair.theirs)
    with pytest.raises(ZeroDivisionError), pair.terminal.taken():
        raise ZeroDivisionError
    assert termios.tcgetattr(pair.theirs) == before
    assert pair.shown().endswith("\x1b[?1049l")


def test_whoever_had_it_meanwhile_does_not_count(pair: Pair) -> None:
    before = termios.tcgetattr(pair.theirs)
    with pair.terminal.taken():
        pair.terminal.leave()
        other = termios.tcgetattr(pair.theirs)
        other[3] &= ~termios.ECHO
        termios.tcsetattr(pair.theirs, termios.TCSANOW, other)
        pair.terminal.enter()
    assert termios.tcgetattr(pair.theirs) == before


def test_only_what_has_changed_is_written(pair: Pair) -> None:
    terminal = pair.terminal
    terminal.draw(lines("one", "two", "three"), SIZE)
    assert pair.shown().count("\x1b[K") == 3
    terminal.draw(lines("one", "two", "three"), SIZE)
    assert pair.shown() == ""
    terminal.draw(lines("one", "zwei", "three"), SIZE)
    assert pair.shown() == "\x1b[2;1H\x1b[K\x1b[32mzwei\x1b[0m\x1b[0m"
    assert terminal.written == 4


def test_another_size_and_a_redraw_write_it_all(pair: Pair) -> None:
    pair.terminal.draw(lines("one", "two"), SIZE)
    pair.shown()
    pair.terminal.draw(lines("one", "two"), (21, 3))
    assert pair.shown().startswith("\x1b[0m\x1b[2J\x1b[1;1H\x1b[K")
    pair.terminal.forget()
    pair.terminal.draw(lines("one", "two"), (21, 3))
    assert "one" in pair.shown()


def test_its_size(pair: Pair) -> None:
    assert pair.terminal.size == (80, 24)  # it does not know
    pair.resize(40, 10)
    assert pair.terminal.size == (40, 10)


def test_no_color_leaves_no_colour(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal(pair.theirs, pair.theirs, "utf-8")
    terminal.draw([Text("bad", "bold red")], SIZE)
    assert "\x1b[1mbad" in pair.shown()


def test_a_terminal_that_is_stopped_is_not_waited_for(pair: Pair) -> None:
    os.write(pair.ours, b"\x13")  # Ctrl-S
    pair.terminal.draw(lines("one"), SIZE)
    assert pair.shown() == ""
    os.write(pair.ours, b"\x11")  # Ctrl-Q
    pair.terminal.draw(lines("one"), SIZE)
    assert "one" in pair.shown()


def test_a_terminal_that_has_gone(pair: Pair) -> None:
    with pair.terminal.taken():
        os.close(pair.ours)
        with pytest.raises(TerminalGone):
            pair.terminal.read()
        with pytest.raises(TerminalGone):
            pair.terminal.draw(lines("one"), SIZE)


def test_what_a_terminal_can_show() -> None:
    assert marks({"TERM": "xterm"}, "utf-8") is BLOCKS
    assert marks({"TERM": "linux"}, "utf-8") is ASCII
    assert marks({"TERM": "xterm"}, "ascii") is ASCII
    assert marks({"TERM": "xterm"}, "iso-8859-1") is ASCII


def test_what_is_no_screen() -> None:
    assert unfit({"TERM": "xterm"}) == "this is no terminal"  # nor is it under pytest
