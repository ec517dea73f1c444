"""Operator: what the door process offers to those who control it, and how it says no.

The control API is written against this alone; ``frontdoor.door`` implements it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from frontdoor.policy.canary import Plan

from .events import Bus
from .feed import Feed, Follower
from .operation import Operation

# The contract's exit codes, by the words of its table.
DONE = 0
FAILED = 1
USAGE = 2
NOT_READY = 4
BUSY = 5
CUT = 6
ROLLED_BACK = 7

REPORT_FORMS = ("json", "text", "svg")

BAD_REQUEST = 400
NOT_FOUND = 404
CONFLICT = 409


class Refused(Exception):  # noqa: N818 - it is an answer, not an error: nothing went wrong here
    """What was asked is not done, and nothing has changed.

    `exit_code` is the contract's, `message` one plain sentence that says what to do, `status` the HTTP
    status (default: 400 for wrong usage, else 409), `extra` more keys for the JSON answer.
    """

    def __init__(
        self,
        exit_code: int,
        message: str,
        *,
        status: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.status = status if status is not None else (BAD_REQUEST if exit_code == USAGE else CONFLICT)
        self.extra: Mapping[str, Any] = {} if extra is None else extra


class Operator(Protocol):
    """The calls of the control API. None of them waits for what it starts: each decides, and returns.

    None may take long either, for nothing else happens meanwhile: what walks all streams does so in slices.
    """

    @property
    def pid(self) -> int:
        """Of ``frontdoor serve``."""

    @property
    def bus(self) -> Bus:
        """Where the door process says what happens."""

    @property
    def outputs(self) -> Feed:
        """Where each line goes that a backend prints, in the shape that :meth:`logs` returns them in."""

    @property
    def doors(self) -> Sequence[str]:
        """The names of the doors, in the config's order."""

    @property
    def closing(self) -> Sequence[str]:
        """Those of them that are not in the config any more, and only finish what they have."""

    async def status(self) -> dict[str, Any]:
        """Return the whole state, in the shape of the contract's ``status --json``."""

    def live(self) -> AbstractAsyncContextManager[Follower]:
        """How things stand, from now on: ``live.past`` first, then ``live.state`` each second, and every event."""

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text for Prometheus, and its content type; `accept` is the header of that name."""

    async def reports(self, door: str) -> list[dict[str, Any]]:
        """Return a summary of each swap of `door` that there is a report of, the newest first. Raises Refused."""

    async def report(self, door: str, number: int | None, form: str) -> tuple[bytes, str]:
        """Return the report of a swap of `door`, by its number or the last one, and its content type.

        `form` is one of REPORT_FORMS. Raises :exc:`Refused`: there is none of that number.
        """

    def healthy(self) -> bool:
        """Whether every door has an active, ready generation."""

    def streams(self, door: str | None, version: str | None) -> Iterable[list[dict[str, Any]]]:
        """Return the open streams, the oldest first, of one door and version (or generation) or of all.

        They come in slices, each made when it is taken: let others run in between. Each stream has ``id``, ``door``,
        ``generation``, ``client``, ``age_s``, ``idle_s`` and ``bytes`` (``up``, ``down``). Raises :exc:`Refused`, at
        once, if that version is unknown.
        """

    def logs(self, door: str | None, version: str | None, history: int) -> list[dict[str, Any]]:
        """Return the last `history` lines that the backends printed, the oldest first.

        They are of one door and version (or generation), or of all. Each has ``time`` (RFC 3339, as
        :func:`~frontdoor.control.feed.timestamp` writes it), ``door``, ``version``, ``generation`` (an id), ``pid``
        and ``line``. Raises :exc:`Refused` if that version is unknown.
        """

    def swap(self, door: str, version: str, *, reuse: bool, canary: Plan | None = None) -> Operation:
        """Start a swap of `door` to a new generation of `version`, with `reuse` to one that still runs.

        `canary`: it begins with a share of the new streams, and goes on like that. Raises :exc:`Refused`.
        """

    def canary(self, door: str, share: int) -> dict[str, Any]:
        """Give the canary of `door` that share of the new streams, in parts of ``policy.share.WHOLE``, but not all.

        Returns what is so now, with a ``message``. Raises :exc:`Refused`: there is no canary.
        """

    def promote(self, door: str) -> Operation:
        """Make the canary of `door` the active generation, with which the swap that began it goes on.

        Raises :exc:`Refused`: there is no canary.
        """

    def rollback(self, door: str) -> Operation:
        """Go back to the previous generation, or end the swap that is under way. Raises :exc:`Refused`."""

    def restart(self, door: str) -> Operation:
        """Start a swap of `door` to a new generation of its active version. Raises :exc:`Refused`."""

    def abort(self, door: str, swap: int) -> Operation:
        """End the swap with that number before its switch. Raises :exc:`Refused`: unknown, or too late."""

    def operation(self, door: str, number: int) -> Operation:
        """Return the swap with that number, under way or done. Raises :exc:`Refused` if it is not known."""

    def reload(self) -> Operation:
        """Read the config again and apply all of it, or nothing.

        The operation is no swap, has no number (0), and cannot be found again; its outcome is that of ``switched``.
        Raises :exc:`Refused`: a config that is not valid, with every problem on a line of the message.
        """

    def upgrade(self) -> Operation:
        """Have this process replaced by one from the code on disk, which takes over all that is open.

        Raises :exc:`Refused`. When it succeeds, it is the new one that knows the outcome.
        """

    def find_upgrade(self, number: int) -> Operation:
        """Return the upgrade with that number, under way or done. Raises :exc:`Refused` if it is not known."""

    def drain(self, door: str, version: str, *, over: float) -> dict[str, Any]:
        """Close the streams of a draining generation evenly over `over` seconds; 0 is at once.

        Returns what was closed or begun, with a ``message``. Raises :exc:`Refused`.
        """

    async def pause(self, door: str, *, seconds: float | None = None) -> dict[str, Any]:
        """Accept no more clients of `door`, for so many seconds or until it is resumed.

        Returns what is so now, with a ``message``. Raises :exc:`Refused`.
        """

    async def resume(self, door: str) -> dict[str, Any]:
        """Accept again. Returns what is so now, with a ``message``. Raises :exc:`Refused`."""

    async def maintain(self, door: str, message: str | None, retry_after: int | None) -> dict[str, Any]:
        """Answer each request of `door`, which must be one of http, with 503; nothing is stopped.

        `message` is for the people who see that, None: a general one; `retry_after` in seconds, None: nothing is said
        of it. Returns what is so now, with a ``message``. Raises :exc:`Refused`.
        """

    async def end_maintenance(self, door: str) -> dict[str, Any]:
        """Serve requests again. Returns what is so now, with a ``message``. Raises :exc:`Refused`."""

    def stop(self, *, now: bool) -> None:
        """Begin the graceful stop, or with `now` the one that cuts every stream."""
