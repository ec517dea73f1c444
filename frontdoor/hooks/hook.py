"""One run of a hook: a program of the user's that is told of one event, and is bounded in everything."""

import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from frontdoor.config import Launch
from frontdoor.control.wording import printable
from frontdoor.hooks.excerpt import Excerpt
from frontdoor.keeper.link import ChildReport, Link
from frontdoor.processes.child import Child

OUTPUT_AFTER_EXIT = 0.1
"""Seconds to read what a hook printed last. Longer than that only who has left its session holds the pipe open."""

ENDING = 2.0
"""Seconds for SIGKILL to end a hook, which takes a few ms. Only a process that is stuck in the kernel needs more (a
network file system that does not answer), and nobody waits for that one."""

LONGEST_VALUE = 4000
"""Characters of one environment variable: the kernel takes 128 KiB (execve(2)), and nobody reads more than a line."""

_IN_WORDS = {
    errno.EMFILE: "frontdoor is at its limit of open files (RLIMIT_NOFILE)",
    errno.ENFILE: "the machine is at its limit of open files (fs.file-max)",
    errno.EAGAIN: "the system allows no more processes (RLIMIT_NPROC, or the container's own limit)",
}


class Hook:
    """A child of the keeper: started, told of an event on its stdin, read, waited for, ended."""

    def __init__(self, key: str, name: str, *, door: str, link: Link, output: Callable[[str, int, str], None]) -> None:
        """``key``: its name with the keeper; ``output``: told of each line, with the hook's name and its pid."""
        self.name = name
        self.pid = 0
        self.forgotten = False
        """Nothing of it is left, with the keeper either."""
        self._door = door
        self._told = output
        self._child = Child(key, link)
        self._excerpt: Excerpt | None = None

    @property
    def key(self) -> str:
        """Its name with the keeper."""
        return self._child.key

    def __repr__(self) -> str:
        return f"<Hook {self.key} {self.name} pid={self.pid}>"

    async def run(
        self, command: Sequence[str], event: Mapping[str, Any], *, env: Mapping[str, str], cwd: str, at_most: float
    ) -> str:
        """Run it to its end; why it failed, in words: ``exited with code 3``. Empty when it did not fail.

        ``at_most``: seconds, then it gets SIGKILL, with its whole group; math.inf for none. When this is cancelled it
        is ended likewise.
        """
        try:
            with trio.move_on_after(at_most):
                await self._start(command, event, env, cwd)
                await self._live()
            return self._outcome(at_most)
        except OSError as error:  # the keeper's Refused is one
            return f"could not be started: {_IN_WORDS.get(error.errno or 0) or error.strerror or error}"
        finally:
            # Shielded: who cancels this, because the swap was aborted or the door is closed, means the hook's end too.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + ENDING):
                await self.end()
            if self._excerpt is not None:
                self._excerpt.close()

    async def end(self) -> None:
        """SIGKILL to what is left of it; returns when nothing is, and the keeper has forgotten it."""
        await self._child.end()
        self.forgotten = True

    def on_report(self, report: ChildReport) -> None:
        """The keeper says how it stands."""
        self._child.report.take(report)

    def last(self, most: int) -> list[str]:
        """The last lines that it printed, the oldest first."""
        return self._excerpt.last(most) if self._excerpt is not None else []

    async def _start(self, command: Sequence[str], event: Mapping[str, Any], env: Mapping[str, str], cwd: str) -> None:
        stdin = _as_file(event)
        # No generation has the number 0: the door process after this one must take no hook for a backend.
        note = {"door": self._door, "number": 0, "hook": self.name}
        try:
            launch = Launch(tuple(command), dict(env), cwd)
            self.pid, output = await self._child.start(launch, [stdin], note=note, stdin=True)
        finally:
            os.close(stdin)
        self._excerpt = Excerpt(output, self._say)

    async def _live(self) -> None:
        """Read what it prints, until it has exited."""
        assert self._excerpt is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._excerpt.run)
            await self._child.report.exited.wait()
            # The keeper has ended the rest of its group: whoever kept the pipe open is gone, if it was one of them.
            with trio.move_on_after(OUTPUT_AFTER_EXIT):
                await self._excerpt.ended.wait()
            nursery.cancel_scope.cancel()

    def _outcome(self, at_most: float) -> str:
        if not self.pid:
            return f"could not be started within {at_most:g} s: the keeper did not answer"
        if self._child.report.status is None:
            return f"did not end within {at_most:g} s (hooks.timeout) and was killed"
        return self._child.report.words() if self._child.report.status else ""

    def _say(self, line: str) -> None:
        self._told(self.name, self.pid, line)


def environment(event: Mapping[str, Any], *, door: str, control: str) -> dict[str, str]:
    """What a hook is told without having to read JSON.

    All of it is always there, empty where it does not apply: a script may run with ``set -u``, and whatever frontdoor
    itself was started with does not show through.
    """
    told = {
        "EVENT": event.get("event"),
        "DOOR": door,
        "VERSION": event.get("version"),
        "GENERATION": str(event.get("generation") or "").rpartition("#")[2],
        "PID": event.get("pid"),
        "SWAP": event.get("swap"),
        "FROM": event.get("from"),
        "TO": event.get("to"),
        "REASON": event.get("reason"),
        "CONTROL": control,
    }
    return {f"FRONTDOOR_{name}": _value(value) for name, value in told.items()}


def _value(value: object) -> str:
    # A NUL could not be passed at all, and a line end in it would make two values of one for many a script.
    return "" if value is None else printable(str(value))[:LONGEST_VALUE]


def _as_file(event: Mapping[str, Any]) -> int:
    """The event as a file to be stdin: who does not read it blocks nobody, and who does comes to its end."""
    fd = os.memfd_create("event", os.MFD_CLOEXEC)
    try:
        # pwrite, since the place to read from goes with the descriptor: it stays at the beginning.
        os.pwrite(fd, json.dumps(dict(event), default=str).encode() + b"\n", 0)
    except BaseException:
        os.close(fd)
        raise
    return fd
