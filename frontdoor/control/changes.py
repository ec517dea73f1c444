"""The calls that change something: each checks what a request asks for, asks the operator, and answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from starlette.requests import Request
from starlette.responses import Response

from frontdoor.policy.share import WHOLE

from .answers import Result
from .asked import Fields, query, read_json
from .canaries import canary_plan, canary_share
from .door_names import door_named
from .followers import Followers
from .operation import MILESTONES, Operation
from .operator import USAGE, Operator, Refused

RETRY_AFTER = 120  # seconds after which visitors are told to come again, if nobody says another time

AFTER_THE_SWITCH = MILESTONES[1:]  # what all that is a swap can be followed to; only a canary is shared out before


class Changes:
    """Swaps and what is like one, and what is done at once."""

    def __init__(self, operator: Operator, followers: Followers) -> None:
        self._operator = operator
        self._followers = followers

    async def swap(self, request: Request) -> Response:
        """POST /v1/doors/NAME/swap: start it, and show it until the milestone ``wait``.

        With ``canary``, "5%" or "5%,25%,100%" and then a step ``every`` so many seconds, it begins with a share of the
        new streams, shared out ``by`` "stream" or "address".
        """
        fields = Fields(await read_json(request), ("version", "reuse", "wait", "canary", "every", "by"))
        door = door_named(self._operator, request.path_params["door"])
        version, reuse, plan = fields.text("version"), fields.flag("reuse", default=False), canary_plan(fields)
        wait = fields.choice("wait", MILESTONES, "baked" if plan is None or plan.complete else "shared")
        if wait == "shared" and plan is None:
            raise Refused(USAGE, "wait: shared is when a canary has its share, and this swap has no canary")
        return self._change(lambda: self._operator.swap(door, version, reuse=reuse, canary=plan), wait)

    async def canary(self, request: Request) -> Response:
        """POST /v1/doors/NAME/canary: give the canary another ``share``; all of it is a promotion."""
        fields = Fields(await read_json(request), ("share", "wait"))
        door, share, wait = door_named(self._operator, request.path_params["door"]), canary_share(fields), _wait(fields)
        if share == WHOLE:
            return self._promote(door, wait)
        return Result("shared", self._operator.canary(door, share))

    async def promote(self, request: Request) -> Response:
        """POST /v1/doors/NAME/promote: make the canary the active one; its swap is shown from here to ``wait``."""
        fields = Fields(await read_json(request, empty_is={}), ("wait",))
        return self._promote(door_named(self._operator, request.path_params["door"]), _wait(fields))

    def _promote(self, door: str, wait: str) -> Response:
        self._followers.check()
        swap = self._operator.promote(door)
        return self._operation(swap, wait, swap.recorded)

    async def rollback(self, request: Request) -> Response:
        """POST /v1/doors/NAME/rollback: back to the previous generation, shown until the milestone ``wait``."""
        fields = Fields(await read_json(request, empty_is={}), ("wait",))
        door = door_named(self._operator, request.path_params["door"])
        return self._change(lambda: self._operator.rollback(door), _wait(fields))

    async def restart(self, request: Request) -> Response:
        """POST /v1/doors/NAME/restart: a swap to the active version, shown until the milestone ``wait``."""
        fields = Fields(await read_json(request, empty_is={}), ("wait",))
        door = door_named(self._operator, request.path_params["door"])
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
        door, swap = door_named(self._operator, request.path_params["door"]), fields.number("swap", whole=True)
        return self._operation(self._operator.abort(door, int(swap)), "switched")

    async def follow_swap(self, request: Request) -> Response:
        """GET /v1/doors/NAME/swaps/N?wait=baked: a swap from its beginning, under way or done."""
        wait = query(request, ("wait",)).get("wait", "baked")
        if wait not in MILESTONES:
            raise Refused(USAGE, f"wait is one of {', '.join(MILESTONES)}, not {wait!r}")
        door = door_named(self._operator, request.path_params["door"])
        return self._operation(self._operator.operation(door, request.path_params["number"]), wait)

    async def drain(self, request: Request) -> Response:
        """POST /v1/doors/NAME/drain: close a draining generation's streams, now or over so many seconds."""
        fields = Fields(await read_json(request), ("version", "over"))
        door = door_named(self._operator, request.path_params["door"])
        over = fields.number("over")
        answer = self._operator.drain(door, fields.text("version"), over=over)
        return Result("closing" if over else "closed", answer)

    async def pause(self, request: Request) -> Response:
        """POST /v1/doors/NAME/pause: accept no more, ``for`` so many seconds; clients wait in the backlog."""
        fields = Fields(await read_json(request, empty_is={}), ("for",))
        door, seconds = door_named(self._operator, request.path_params["door"]), fields.maybe_number("for")
        return Result("paused", await self._operator.pause(door, seconds=seconds))

    async def resume(self, request: Request) -> Response:
        """POST /v1/doors/NAME/resume: accept again."""
        Fields(await read_json(request, empty_is={}), ())
        return Result("resumed", await self._operator.resume(door_named(self._operator, request.path_params["door"])))

    async def maintenance(self, request: Request) -> Response:
        """POST /v1/doors/NAME/maintenance: answer requests with 503 while ``on``, with ``message`` and ``retry_after``.

        The latter is in seconds, null for none.
        """
        fields = Fields(await read_json(request), ("on", "message", "retry_after"))
        door = door_named(self._operator, request.path_params["door"])
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

    def _change(self, begin: Callable[[], Operation], wait: str) -> Response:
        # Before it begins: a client that cannot be told the outcome must not cause one.
        self._followers.check()
        return self._operation(begin(), wait)

    def _operation(self, operation: Operation, wait: str, after: int = 0) -> Response:
        # The number is in the head: a client whose connection breaks at once can still ask for the outcome.
        headers = {f"frontdoor-{operation.noun}": str(operation.number)} if operation.number else {}
        return self._followers.lines(lambda: nullcontext(operation.follow(wait, after)), headers)


def _wait(fields: Fields) -> str:
    return fields.choice("wait", AFTER_THE_SWITCH, "baked")
