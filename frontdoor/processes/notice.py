"""The notice: a generation is told that it drains, so that an app which can ask its clients to come back does so."""

import errno
import json
from collections.abc import Mapping
from typing import Any

from frontdoor import proxy_header
from frontdoor.config import DrainNotify
from frontdoor.keeper.link import Refused
from frontdoor.processes.member import Member
from frontdoor.processes.ready import NotReady, ask, http


async def give(member: Member, notify: DrainNotify, seconds: float, event: Mapping[str, Any]) -> str:
    """Tell one process; why that was in vain, in words: empty if it was not.

    ``seconds``: for a request; ``event``: what the request's body says, as JSON.
    """
    if notify.kind == "signal":
        return await _signal(member, notify)
    seat, body = member.seat, json.dumps(event).encode()
    greeting = b"" if seat.proxy_protocol == "off" else proxy_header.local(seat.proxy_protocol)

    async def post() -> None:
        await http(seat.address, notify.text, greeting, body)

    try:
        await ask(post, seconds, f"POST {notify.text} was not answered within {seconds:g} s")
    except NotReady as problem:
        return str(problem)
    return ""


async def _signal(member: Member, notify: DrainNotify) -> str:
    if not member.seat.up:
        return "it is not up"  # it may be starting, and then a signal that it does not know yet would end it
    try:
        return "" if await member.tell(notify.signal) else "it does not run"
    except Refused as error:
        if error.errno == errno.EPERM:
            return f"{notify.text} could not be sent to it: it runs as a user whom the keeper may not signal"
        return f"{notify.text} could not be sent to it: {error.strerror}"
