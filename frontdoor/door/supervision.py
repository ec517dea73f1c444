"""The supervision of the control API. It shares nothing with the relay: whatever it does, traffic goes on."""

import os
import socket

import trio

from frontdoor.door.operator import DoorOperator
from frontdoor.door.refusal import in_words
from frontdoor.door.remainder import Remainder
from frontdoor.observe.log import Log

PATIENCE = 1.0
"""Seconds, after a crash, until the remainder is loaded although nothing serves: there may be nothing that can."""


async def supervise(
    remainder: Remainder, serving: trio.Event, operator: DoorOperator, listener: socket.socket, log: Log
) -> None:
    """Serve the control API for ever, once its code is there.

    A first start has loaded that long before; one after a crash loads it here, when bytes move again (``serving``).
    """

    def unavailable(reason: str) -> None:
        why = "traffic goes on, but frontdoor cannot be controlled: mend its installation; it is tried again"
        log.error("control.unavailable", error=reason, reason=why)

    def failed(error: BaseException) -> None:
        log.warning("control.failed", error=in_words(error))

    if not remainder.there.is_set():
        with trio.move_on_after(PATIENCE):
            await serving.wait()
        if await remainder.load_beside(unavailable):
            log.info("control.available")
    from frontdoor.control import api, server

    while True:
        try:
            # Not to this process itself: an app that may write where its socket is could put a link to the control
            # socket there, and then its clients would be joined to the control API.
            await server.serve(api.app(operator), listener, on_error=failed, but_from=os.getpid())
        except Exception as error:
            failed(error)
        await trio.sleep(0.1)
