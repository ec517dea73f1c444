"""The calls that look: each takes a request, asks the operator, and changes nothing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from .answers import Answer, Lines, Listing, ServerSent, refusal
from .asked import query, span
from .door_names import asked_door, door_named
from .feed import HISTORY, Event
from .followers import UNAVAILABLE, Followers
from .operator import FAILED, NOT_FOUND, REPORT_FORMS, USAGE, Operator, Refused
from .output import LINES, Output

LONGEST_NUMBER = 12  # digits of a swap's number


class Looks:
    """What is, what was, and what comes."""

    def __init__(self, operator: Operator, followers: Followers) -> None:
        self._operator = operator
        self._followers = followers

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
        streams = self._operator.streams(asked_door(self._operator, asked), asked.get("version") or None)
        return await Listing.of("streams", streams, self._followers.turns)

    async def events(self, request: Request) -> Response:
        """GET /v1/events?door=NAME&history=N&follow=1: the last N events, then all that come, unless follow=0."""
        asked = query(request, ("door", "history", "follow"))
        history, follow = span(asked, HISTORY)
        door = asked_door(self._operator, asked)

        def wanted(event: Event) -> bool:
            # What is of no door (a reload, an upgrade) is of every door.
            return door is None or event.get("door", door) == door

        bus = self._operator.bus
        if follow:
            return self._followers.lines(lambda: bus.follow(history, wanted))
        return self._followers.past(bus.history(history, wanted))

    async def live(self, request: Request) -> Response:
        """GET /v1/live: how things stand, each second, and every event; for a browser as server-sent events."""
        query(request, ())
        wanted = request.headers.get("accept", "")
        return self._followers.lines(self._operator.live, kind=ServerSent if ServerSent.media_type in wanted else Lines)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: for Prometheus, in its text format, or in that of OpenMetrics for who asks for it."""
        query(request, ())
        body, content_type = await self._operator.metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def reports(self, request: Request) -> Response:
        """GET /v1/doors/NAME/reports: a summary of each swap, the newest first."""
        query(request, ())
        return Answer(
            {"reports": await self._operator.reports(door_named(self._operator, request.path_params["door"]))}
        )

    async def report(self, request: Request) -> Response:
        """GET /v1/doors/NAME/reports/N?format=json: the report of a swap, or of the ``last`` one; or text, or svg."""
        form = query(request, ("format",)).get("format", REPORT_FORMS[0])
        if form not in REPORT_FORMS:
            raise Refused(USAGE, f"format is one of {', '.join(REPORT_FORMS)}, not {form!r}")
        door, which = door_named(self._operator, request.path_params["door"]), request.path_params["number"]
        if which != "last" and not (which.isascii() and which.isdecimal() and len(which) <= LONGEST_NUMBER):
            raise Refused(USAGE, f"{which!r} is no number of a swap: name one, or say last", status=NOT_FOUND)
        body, content_type = await self._operator.report(door, None if which == "last" else int(which), form)
        return Response(body, headers={"content-type": content_type})

    async def logs(self, request: Request) -> Response:
        """GET /v1/logs?door=NAME&version=VERSION&history=N&follow=1: what the backends printed and print."""
        asked = query(request, ("door", "version", "history", "follow"))
        history, follow = span(asked, LINES)
        output = Output(self._operator, asked_door(self._operator, asked), asked.get("version") or None)
        lines = output.past(0 if follow else history)  # before the head is sent: there may be no such version
        return self._followers.lines(lambda: output.follow(history)) if follow else self._followers.past(lines)

    async def healthz(self, request: Request) -> Response:
        """GET /healthz: 200 while every door has an active, ready generation."""
        if self._operator.healthy():
            return Answer({"healthy": True})
        error = "frontdoor starts or stops, or a door has no process that is up; frontdoor status shows which"
        return refusal(error, FAILED, UNAVAILABLE, {"healthy": False})
