"""The control API: the contract's calls, as a Starlette application over an :class:`Operator`.

Every answer is JSON: one object, or for what takes time one object a line (NDJSON), of which the last has
``result`` and ``exit_code``. Whatever is refused is one object with ``error`` and ``exit_code``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from frontdoor.policy.share import WHOLE

from .answers import Answer, Lines, Listing, Opened, Result, Source, refusal
from .asked import Fields, query, read_json, span
from .canaries import canary_plan, canary_share
from .feed import HISTORY, Event, Follower
from .operation import MILESTONES, Operation
from .operator import FAILED, NOT_FOUND, USAGE, Operator, Refused
from .output import LINES, Output
from .refusals import HANDLERS
from .turns import Turns

MAX_FOLLOWERS = 128  # half of the connections: whoever follows cannot keep out whoever asks
UNAVAILABLE = 503
RETRY_AFTER = 120  # seconds after which visitors are told to come again, if nobody says another time

AFTER_THE_SWITCH = MILESTONES[1:]  # what all that is a swap can be followed to; only a canary is shared out before


class Calls:
    """The calls, each a method that takes a request: checks what is asked, asks the operator, answers."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._followers = 0
        self._turns = Turns()

    async def status(self, request: Request) -> Response:
        """GET /v1/status: the whole state."""
        query(request, ())
        return Answer(await self._operator.status())

    async def streams(self, request: Request) -> Response:
        """GET /v1/streams?door=NAME&version=VERSION: the open streams, the oldest first.

        They are those that were open when this was asked and had not ended yet when their slice was made, a few
        milliseconds later for each thousand of them: none is there twice, none that came in meanwhile is there, and
        one of the last may have ended after one of the first was looked at.
        """
        asked = query(request, ("door", "version"))
        streams = self._operator.streams(self._asked_door(asked), asked.get("version") or None)
        return await Listing.of("streams", streams, self._turns)

    async def events(self, request: Request) -> Response:
        """GET /v1/events?door=NAME&history=N&follow=1: the last N events, then all that come, unless follow=0."""
        asked = query(request, ("door", "history", "follow"))
        history, follow = span(asked, HISTORY)
        door = self._asked_door(asked)

        def wanted(event: Event) -> bool:
            # What is of no door (a reload, an upgrade) is of every door.
            return door is None or event.get("door", door) == door

        bus = self._operator.bus
        if follow:
            return self._lines(lambda: bus.follow(history, wanted))
        return self._past(bus.history(history, wanted))

    async def logs(self, request: Request) -> Response:
        """GET /v1/logs?door=NAME&version=VERSION&history=N&follow=1: what the backends printed and print."""
        asked = query(request, ("door", "version", "history", "follow"))
        history, follow = span(asked, LINES)
        output = Output(self._operator, self._asked_door(asked), asked.get("version") or None)
        lines = output.past(0 if follow else history)  # before the head is sent: there may be no such version
        return self._lines(lambda: output.follow(history)) if follow else self._past(lines)

    async def healthz(self, request: Request) -> Response:
        """GET /healthz: 200 while every door has an active, ready generation."""
        if self._operator.healthy():
            return Answer({"healthy": True})
        error = "frontdoor starts or stops, or a door has no process that is up; frontdoor status shows which"
        return refusal(error, FAILED, UNAVAILABLE, {"healthy": False})

    async def swap(self, request: Request) -> Response:
        """POST /v1/doors/NAME/swap: start it, and show it until the milestone ``wait``.

        With ``canary``, "5%" or "5%,25%,100%" and then a step ``every`` so many seconds, it begins with a share of the
        new streams, shared out ``by`` "stream" or "address".
        """
        fields = Fields(await read_json(request), ("version", "reuse", "wait", "canary", "every", "by"))
        door = self._door(request.path_params["door"])
        version, reuse, plan = fields.text("version"), fields.flag("reuse", default=False), canary_plan(fields)
        wait = fields.choice("wait", MILESTONES, "baked" if plan is None or plan.complete else "shared")
        if wait == "shared" and plan is None:
            raise Refused(USAGE, "wait: shared is when a canary has its share, and this swap has no canary")
        return self._change(lambda: self._operator.swap(door, version, reuse=reuse, canary=plan), wait)

    async def canary(self, request: Request) -> Response:
        """POST /v1/doors/NAME/canary: give the canary another ``share``; all of it is a promotion."""
        fields = Fields(await read_json(request), ("share", "wait"))
        door, share, wait = self._door(request.path_params["door"]), canary_share(fields), _wait(fields)
        if share == WHOLE:
            return self._promote(door, wait)
        return Result("shared", self._operator.canary(door, share))

    async def promote(self, request: Request) -> Response:
        """POST /v1/doors/NAME/promote: make the canary the active one; its swap is shown from here to ``wait``."""
        fields = Fields(await read_json(request, empty_is={}), ("wait",))
        return self._promote(self._door(request.path_params["door"]), _wait(fields))

    def _promote(self, door: str, wait: str) -> Response:
        self._check_followers()
        swap = self._operator.promote(door)
        return self._operation(swap, wait, swap.recorded)

    async def rollback(self, request: Request) -> Response:
        """POST /v1/doors/NAME/rollback: back to the previous generation, shown until the milestone ``wait``."""
        fields = Fields(await read_json(request, empty_is={}), ("wait",))
        door = self._door(request.path_params["door"])
        return self._change(lambda: self._operator.rollback(door), _wait(fields))

    async def restart(self, request: Request) -> Response:
        """POST /v1/doors/NAME/restart: a swap to the active version, shown until the milestone ``wait``."""
        fields = Fields(await read_json(request, empty_is={}), ("wait",))
        door = self._door(request.path_params["door"])
        return self._change(lambda: self._operator.restart(door), _wait(fields))

    async def reload(self, request: Request) -> Response:
        """POST /v1/reload: read the config again, and show what follows from it until all of it is applied."""
        Fields(await read_json(request, empty_is={}), ())
        return self._change(self._operator.reload, "switched")

    async def upgrade(self, request: Request) -> Response:
        """POST /v1/upgrade: a new door process from the code on disk, and what became of it.

        When it serves, this one is gone, and this answer breaks off: the new one is asked for the outcome.
        """
        Fields(await read_json(request, empty_is={}), ())
        return self._change(self._operator.upgrade, "switched")

    async def follow_upgrade(self, request: Request) -> Response:
        """GET /v1/upgrades/N: an upgrade, under way or done."""
        query(request, ())
        return self._operation(self._operator.find_upgrade(request.path_params["number"]), "switched")

    async def abort(self, request: Request) -> Response:
        """POST /v1/doors/NAME/abort: end a swap before its switch, and show what became of it."""
        fields = Fields(await read_json(request), ("swap",))
        door, swap = self._door(request.path_params["door"]), fields.number("swap", whole=True)
        return self._operation(self._operator.abort(door, int(swap)), "switched")

    async def follow_swap(self, request: Request) -> Response:
        """GET /v1/doors/NAME/swaps/N?wait=baked: a swap from its beginning, under way or done."""
        wait = query(request, ("wait",)).get("wait", "baked")
        if wait not in MILESTONES:
            raise Refused(USAGE, f"wait is one of {', '.join(MILESTONES)}, not {wait!r}")
        door = self._door(request.path_params["door"])
        return self._operation(self._operator.operation(door, request.path_params["number"]), wait)

    async def drain(self, request: Request) -> Response:
        """POST /v1/doors/NAME/drain: close a draining generation's streams, now or over so many seconds."""
        fields = Fields(await read_json(request), ("version", "over"))
        door = self._door(request.path_params["door"])
        over = fields.number("over")
        answer = self._operator.drain(door, fields.text("version"), over=over)
        return Result("closing" if over else "closed", answer)

    async def pause(self, request: Request) -> Response:
        """POST /v1/doors/NAME/pause: accept no more, ``for`` so many seconds; clients wait in the backlog."""
        fields = Fields(await read_json(request, empty_is={}), ("for",))
        door, seconds = self._door(request.path_params["door"]), fields.maybe_number("for")
        return Result("paused", await self._operator.pause(door, seconds=seconds))

    async def resume(self, request: Request) -> Response:
        """POST /v1/doors/NAME/resume: accept again."""
        Fields(await read_json(request, empty_is={}), ())
        return Result("resumed", await self._operator.resume(self._door(request.path_params["door"])))

    async def maintenance(self, request: Request) -> Response:
        """POST /v1/doors/NAME/maintenance: answer requests with 503 while ``on``, with ``message`` and ``retry_after``.

        The latter is in seconds, null for none.
        """
        fields = Fields(await read_json(request), ("on", "message", "retry_after"))
        door = self._door(request.path_params["door"])
        if not fields.flag("on", default=None):
            if "message" in fields or "retry_after" in fields:
                raise Refused(USAGE, "message and retry_after are said with on: true; with on: false nothing is")
            return Result("maintenance_off", await self._operator.end_maintenance(door))
        message, wait = fields.maybe_text("message"), fields.maybe_whole("retry_after", RETRY_AFTER)
        return Result("maintenance_on", await self._operator.maintain(door, message, wait))

    async def stop(self, request: Request) -> Response:
        """POST /v1/stop: begin the graceful stop, or with ``now`` the one that cuts every stream."""
        fields = Fields(await read_json(request, empty_is={}), ("now",))
        now = fields.flag("now", default=False)
        self._operator.stop(now=now)
        return Result("stopping", {"pid": self._operator.pid, "now": now})

    def _door(self, name: str) -> str:
        """Return the door that `name` means: ``-`` is the only one. Raises Refused, with all their names."""
        doors = list(self._operator.doors)
        if name in doors:
            return name
        # One that only finishes what it has is meant by its name alone.
        doors = [door for door in doors if door not in self._operator.closing] or doors
        named = {"doors": doors}
        if name != "-":
            raise Refused(
                USAGE, f"there is no door {name!r}; there is {', '.join(doors)}", status=NOT_FOUND, extra=named
            )
        if len(doors) != 1:
            raise Refused(USAGE, f"there are several doors: say which with --door: {', '.join(doors)}", extra=named)
        return doors[0]

    def _asked_door(self, asked: Mapping[str, str]) -> str | None:
        """Return the door that a query is about, or None for all. Raises Refused."""
        return self._door(asked["door"]) if "door" in asked else None

    def _check_followers(self) -> None:
        if self._followers >= MAX_FOLLOWERS:
            raise Refused(
                FAILED,
                f"{MAX_FOLLOWERS} clients follow already; end one, or try again later",
                status=UNAVAILABLE,
            )

    def _lines(self, opened: Opened, headers: Mapping[str, str] | None = None) -> Response:
        self._check_followers()
        return Lines(lambda: self._counted(opened), self._turns, headers)

    @asynccontextmanager
    async def _counted(self, opened: Opened) -> AsyncIterator[Source]:
        self._followers += 1
        try:
            async with opened() as lines:
                yield lines
        finally:
            self._followers -= 1

    def _past(self, lines: list[Event]) -> Response:
        """Answer with what there is, and end."""
        there = Follower(lines, len(lines))
        there.close()
        return self._lines(lambda: nullcontext(there))

    def _change(self, begin: Callable[[], Operation], wait: str) -> Response:
        # Before it begins: a client that cannot be told the outcome must not cause one.
        self._check_followers()
        return self._operation(begin(), wait)

    def _operation(self, operation: Operation, wait: str, after: int = 0) -> Response:
        # The number is in the head: a client whose connection breaks at once can still ask for the outcome.
        headers = {f"frontdoor-{operation.noun}": str(operation.number)} if operation.number else {}
        return self._lines(lambda: nullcontext(operation.follow(wait, after)), headers)


def _wait(fields: Fields) -> str:
    return fields.choice("wait", AFTER_THE_SWITCH, "baked")


def app(operator: Operator) -> Starlette:
    """Return the ASGI application for `operator`."""
    calls = Calls(operator)
    routes = [
        Route("/v1/status", calls.status),
        Route("/v1/streams", calls.streams),
        Route("/v1/events", calls.events),
        Route("/v1/logs", calls.logs),
        Route("/healthz", calls.healthz),
        Route("/v1/doors/{door}/swap", calls.swap, methods=["POST"]),
        Route("/v1/doors/{door}/canary", calls.canary, methods=["POST"]),
        Route("/v1/doors/{door}/promote", calls.promote, methods=["POST"]),
        Route("/v1/doors/{door}/abort", calls.abort, methods=["POST"]),
        Route("/v1/doors/{door}/swaps/{number:int}", calls.follow_swap),
        Route("/v1/doors/{door}/rollback", calls.rollback, methods=["POST"]),
        Route("/v1/doors/{door}/restart", calls.restart, methods=["POST"]),
        Route("/v1/doors/{door}/drain", calls.drain, methods=["POST"]),
        Route("/v1/doors/{door}/pause", calls.pause, methods=["POST"]),
        Route("/v1/doors/{door}/resume", calls.resume, methods=["POST"]),
        Route("/v1/doors/{door}/maintenance", calls.maintenance, methods=["POST"]),
        Route("/v1/reload", calls.reload, methods=["POST"]),
        Route("/v1/upgrade", calls.upgrade, methods=["POST"]),
        Route("/v1/upgrades/{number:int}", calls.follow_upgrade),
        Route("/v1/stop", calls.stop, methods=["POST"]),
    ]
    starlette = Starlette(routes=routes, exception_handlers=HANDLERS)
    # "/v1/status/" is a 404 in JSON like any other path, not an empty redirect.
    starlette.router.redirect_slashes = False
    return starlette
