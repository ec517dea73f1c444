"""The screen of ``frontdoor top`` from its beginning to its end: what comes in, what goes out, and when.

One thread draws and takes keys; one reads the stream of states, and each change that was asked for has its own. They
leave what they have, and ring a bell: a pipe, on which signals ring as well. With nothing new, nothing is drawn.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frontdoor.cli.output import complain, progress, result
from frontdoor.cli.screen.actions import Deeds
from frontdoor.cli.screen.feed import Feed, Gone, Lost
from frontdoor.cli.screen.input import ESCAPE_WAIT, Input
from frontdoor.cli.screen.keys import Action, Prompt, Quit, Redraw, There, at_rest, press
from frontdoor.cli.screen.model import Model
from frontdoor.cli.screen.screen import Look, draw
from frontdoor.cli.screen.terminal import Terminal, TerminalGone, marks
from frontdoor.cli.start import INTERRUPTED
from frontdoor.cli.status_text import render
from frontdoor.control.wording import printable

if TYPE_CHECKING:
    from frontdoor.control.client import Client, Lines
    from frontdoor.control.dial import ControlError

BETWEEN = 0.1
"""Seconds between two drawings of what was told, however much is told. A key is answered at once."""

SILENCE = 3.0
"""Seconds without a state, of which there is one each second, until that is said."""

BEGUN = 5.0
"""Seconds in which a change that was just asked for should have been taken, before it is left alone."""

LOOK = "look with: frontdoor status --watch"


class Watching:
    """The screen from its beginning to its end."""

    def __init__(self, client: Client, lines: Lines, door: str) -> None:
        """`lines`: of the stream of states; `door`: which one is shown first."""
        self._bell, self._ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._model = Model()
        self._prompt = Prompt(door=door)
        self._input = Input()
        self._terminal = Terminal(sys.stdin.fileno(), sys.stdout.fileno(), sys.stdout.encoding)
        self._marks = marks(os.environ, sys.stdout.encoding)
        self._deeds = Deeds(client.path, self._wake)
        self._feed = Feed(client, lines, self._wake)
        self._lost = False
        self._told = time.monotonic()
        """When the last line came."""
        self._drawn = 0.0
        self._gone: ControlError | None = None
        self._ended_by = 0
        """The signal that ends it; 0: none."""
        self._suspend = self._resumed = False
        self._over = False

    def run(self) -> int:
        """Show it until somebody leaves, or frontdoor has gone; returns the exit code. Raises ControlError."""
        with self._signals():
            try:
                with self._terminal.taken():
                    self._go_on()
            except TerminalGone:
                self._ended_by = self._ended_by or signal.SIGHUP
        return self._say_goodbye()

    def _go_on(self) -> None:
        while not self._over:
            self._draw()
            self._wait()
            self._mind_signals()
            self._take_news()

    # -- what comes in ----------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until a key, a line, or a signal comes, or time makes a difference."""
        timeout = SILENCE - (time.monotonic() - self._told)
        waits = None if timeout <= 0 else timeout
        if self._input.doubtful:
            waits = ESCAPE_WAIT
        ready, _, _ = select.select([self._terminal.keys, self._bell], [], [], waits)
        if self._terminal.keys in ready:
            self._press(self._input.keys(self._terminal.read()))
        elif self._input.doubtful and not ready:
            self._press(self._input.decided())
        elif self._bell in ready:
            # Whatever else comes in the meantime is drawn along.
            late = BETWEEN - (time.monotonic() - self._drawn)
            if late > 0:
                select.select([self._terminal.keys], [], [], late)
            os.read(self._bell, 4096)

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            if not self._prompt.action and key in ("escape", "enter"):
                self._deeds.forget()
            there = There(self._model.names, self._model.door(self._prompt.door))
            self._prompt, does = press(self._prompt, key, there)
            if isinstance(does, Action):
                self._prompt = at_rest(self._prompt, self._deeds.start(does))
            elif isinstance(does, Redraw):
                self._terminal.forget()
            elif isinstance(does, Quit):
                self._over = True

    def _take_news(self) -> None:
        for told in self._feed.waiting():
            self._lost = isinstance(told, Lost)
            if isinstance(told, Gone):
                self._gone, self._over = told.error, True
            elif not isinstance(told, Lost):
                self._told = time.monotonic()
                self._model.take(told)
        if self._prompt.door not in self._model.names and self._model.names:
            # A reload has taken it away: a question about it has no answer any more.
            gone = f"there is no door {self._prompt.door} any more" if self._prompt.door else ""
            self._prompt = Prompt(door=self._model.names[0], notice=gone)

    # -- what goes out ----------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        size = self._terminal.size
        look = Look(prompt=self._prompt, deeds=self._deeds.all, news=self._news(), marks=self._marks)
        self._terminal.draw(draw(self._model, look, *size), size)
        self._drawn = time.monotonic()

    def _news(self) -> str:
        if self._lost:
            return "the connection to frontdoor broke: asking it again"
        if time.monotonic() - self._told >= SILENCE:
            return "frontdoor says nothing just now: what is shown may be old"
        return ""

    def _say_goodbye(self) -> int:
        if self._ended_by not in (0, signal.SIGINT):
            return 128 + self._ended_by
        if self._model.state:
            result(render(self._model.state))
        for deed in self._deeds.under_way:
            deed.begun.wait(BEGUN)
            if deed.exit_code is not None:
                progress(printable(f"{deed.action.about}: {deed.outcome}: {deed.message}"))
            elif deed.begun.is_set():
                progress(printable(f"{deed.action.about}: it goes on without this screen; {LOOK}"))
            else:
                progress(printable(f"{deed.action.about}: whether it was begun is not known; {LOOK}"))
        if self._gone is not None:
            complain("that was the last: frontdoor has gone")
            raise self._gone
        return INTERRUPTED if self._ended_by else 0

    # -- signals ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        try:
            os.write(self._ring, b"!")
        except OSError:
            pass  # full: it has been rung often enough

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Each only leaves a note, and rings: nothing is cut in the middle."""
        handlers: dict[int, Callable[..., object]] = {
            signal.SIGINT: self._end,
            signal.SIGTERM: self._end,
            signal.SIGHUP: self._end,
            signal.SIGQUIT: self._end,
            signal.SIGTSTP: self._leave_for_a_while,
            signal.SIGCONT: self._come_back,
            signal.SIGWINCH: lambda *_: None,
        }
        rung = signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(rung)

    def _end(self, number: int, frame: object) -> None:
        self._ended_by, self._over = number, True

    def _leave_for_a_while(self, number: int, frame: object) -> None:
        self._suspend = True

    def _come_back(self, number: int, frame: object) -> None:
        self._resumed = True

    def _mind_signals(self) -> None:
        if self._suspend and not self._over:
            self._suspend = False
            self._terminal.leave()
            # As if it were not handled: the shell sees a job that has stopped, and brings it back with SIGCONT.
            handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, handler)
            self._resumed = True
        if self._resumed and not self._over:
            self._resumed = False
            self._terminal.enter()
