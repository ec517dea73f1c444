"""What follows from a change that was asked for: shown as it happens, over as many connections as it takes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from frontdoor.cli.call import Call
from frontdoor.cli.output import complain, outcome, outcome_json, progress
from frontdoor.cli.start import INTERRUPTED
from frontdoor.cli.swap_progress import sentence
from frontdoor.control.dial import Broken, ControlError, NotRunning, Refused
from frontdoor.control.wording import printable

if TYPE_CHECKING:
    from frontdoor.control.client import Client, Lines

RECONNECT = 10.0  # seconds in which a door process that died should be back
LOOK = "look with: frontdoor status"

# An upgrade that succeeds takes the process along that was asked for it.
_BROKE = {"upgrade": "the old door process has ended: asking the new one"}


MILESTONES = ("switched", "baked", "drained")

wait_option = click.option(
    "--wait",
    type=click.Choice(MILESTONES),
    default="baked",
    show_default=True,
    help="Return after the switch, after the probation, or when the old version is drained.",
)


def swapped(call: Call, verb: str, body: Mapping[str, Any], *, begins: bool = True) -> int:
    """Ask for the swap that `verb` is, and show it; returns the exit code. `body` has ``wait``.

    `begins` False: it goes on with one that somebody has begun, and Ctrl-C does not abort that.
    """
    return _changed(call, call.door_path(verb), body, "swap", begins=begins)


def reloaded(call: Call) -> int:
    """Ask for a reload, and show it; returns the exit code."""
    return _changed(call, "/v1/reload", {}, "reload")


def upgraded(call: Call) -> int:
    """Ask for an upgrade, and show it; returns the exit code."""
    return _changed(call, "/v1/upgrade", {}, "upgrade")


def _changed(call: Call, target: str, body: Mapping[str, Any], noun: str, *, begins: bool = True) -> int:
    client = call.client()
    # Until the number is known, Ctrl-C has to wait: there would be a swap that nobody could abort.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    watch: Watch | None = None
    try:
        try:
            lines = ask_for(client, target, body, noun)
            watch = Watch(client, call, body.get("wait", "switched"), lines, noun, aborts=begins)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return watch.report(watch.outcome())
    except KeyboardInterrupt:
        return INTERRUPTED if watch is None else watch.interrupted()


def ask_for(client: Client, target: str, body: Mapping[str, Any], noun: str) -> Lines:
    """Begin the change that `noun` says it is. Raises :exc:`ControlError`."""
    try:
        return client.stream("POST", target, body)
    except Broken:
        raise ControlError(f"the connection broke before the {noun} was begun, or just then; {LOOK}") from None


class Watch:
    """One swap, or what `noun` says it is, as a client sees it, over as many connections as it takes."""

    def __init__(
        self,
        client: Client,
        call: Call,
        wait: str,
        lines: Lines,
        noun: str,
        *,
        aborts: bool = True,
        say: Callable[[str], object] = progress,
    ) -> None:
        """`say`: where a line of what goes on is shown."""
        self._client = client
        self._call = call
        self._lines = lines
        self._noun = noun
        self._say = say
        self._swap = lines.swap if aborts else None  # nothing else can be aborted
        self._name = noun
        self._again: str | None = None  # where it is found again; a reload is not
        if lines.swap is not None:
            self._name, self._again = f"{noun} {lines.swap}", call.door_path(f"swaps/{lines.swap}?wait={wait}")
        elif lines.upgrade is not None:
            self._name, self._again = f"{noun} {lines.upgrade}", f"/v1/upgrades/{lines.upgrade}"
        self._seen: set[tuple[Any, Any]] = set()
        self._switched = False

    def outcome(self) -> dict[str, Any]:
        """Show what happens until the outcome, and return its line. Raises :exc:`ControlError`."""
        give_up_at: float | None = None
        while True:
            with self._lines:
                for line in self._lines:
                    if "exit_code" in line:
                        return line
                    if self._show(line):
                        give_up_at = None
            if self._again is None:
                raise ControlError(f"the connection broke, and the {self._noun}'s outcome is not known; {LOOK}")
            if give_up_at is None:
                give_up_at = time.monotonic() + RECONNECT
                self._say(_BROKE.get(self._noun, "the connection to frontdoor broke: asking it again"))
            self._lines = self._reconnect(self._again, give_up_at)

    def report(self, line: dict[str, Any]) -> int:
        """Print the outcome; returns its exit code."""
        exit_code = int(line["exit_code"])
        message = str(line.get("message", line.get("result", "")))
        if self._call.json:
            outcome_json(line)
        elif exit_code == 0:
            outcome(message)
        if exit_code != 0:
            output = line.get("output")
            complain(message, map(str, output) if isinstance(output, list) else ())
        return exit_code

    def interrupted(self) -> int:
        """Ctrl-C: before the switch it means the swap, after it only this program."""
        self._lines.close()
        if self._switched or self._swap is None:
            return self._leave()
        progress("aborting the swap (Ctrl-C again stops watching)")
        try:
            body = {"swap": self._swap}
            self._lines = self._client.stream("POST", self._call.door_path("abort"), body)
            self.report(self.outcome())
        except Refused as error:
            progress(f"not aborted: {error}")
            return self._leave()
        except ControlError as error:
            complain(f"whether the swap was aborted is not known: {error}; {LOOK}")
        except KeyboardInterrupt:
            return self._leave()
        return INTERRUPTED

    def _leave(self) -> int:
        progress(f"stopped watching; the {self._noun} itself goes on")
        return INTERRUPTED

    def _show(self, line: dict[str, Any]) -> bool:
        """Show a line that has not been shown; returns whether it was new."""
        mark = (line.get("time"), line.get("seq"))
        if mark in self._seen:
            return False
        self._seen.add(mark)
        self._switched = self._switched or line.get("event") == "swap.switched"
        if self._call.json:
            outcome_json(line)
        elif text := sentence(line):
            # One swap is of one door, a reload of any number.
            self._say(text if self._again is not None or "door" not in line else f"{printable(line['door'])}: {text}")
        return True

    def _reconnect(self, target: str, give_up_at: float) -> Lines:
        """Follow the same one over a new connection: there is another door process, or soon will be."""
        while True:
            time.sleep(0.1)
            try:
                lines = self._client.stream("GET", target)
            except Refused as error:
                raise ControlError(
                    f"frontdoor's door process was restarted, and {self._name}'s outcome is not known ({error}); {LOOK}"
                ) from None
            except NotRunning:
                # The keeper holds the control socket however often the door process dies: serve itself has ended.
                raise NotRunning(
                    f"frontdoor ended during the {self._noun}, and its outcome is not known; {LOOK}"
                ) from None
            except Broken as error:
                why = str(error)
            else:
                if time.monotonic() < give_up_at:
                    return lines
                lines.close()
                why = "its connections break at once"
            if time.monotonic() >= give_up_at:
                raise ControlError(f"the {self._noun}'s outcome is not known: {why}; {LOOK}")
