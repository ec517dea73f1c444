"""The supervision of the control API. It shares nothing with the relay: whatever it does, traffic goes on."""

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from frontdoor.door.admin import FOLLOWERS, HINT, Admin, Seldom
from frontdoor.door.operator import DoorOperator
from frontdoor.door.refusal import in_words
from frontdoor.door.remainder import Remainder
from frontdoor.observe.logs.log import Log
from frontdoor.sockets import show

if TYPE_CHECKING:
    from frontdoor.control.guard import Asked, Guard, Rules, Verdict

PATIENCE = 1.0
"""Seconds, after a crash, until the remainder is loaded although nothing serves: there may be nothing that can."""


async def supervise(
    remainder: Remainder,
    serving: trio.Event,
    operator: DoorOperator,
    listener: socket.socket,
    log: Log,
    admin: Admin | None = None,
) -> None:
    """Serve the control API for ever, once its code is there; over TCP too, where there is an ``admin``.

    A first start has loaded that long before; one after a crash loads it here, when bytes move again (``serving``).
    """

    def unavailable(reason: str) -> None:
        why = "traffic goes on, but frontdoor cannot be controlled: mend its installation; it is tried again"
        log.error("control.unavailable", error=reason, reason=why)

    if admin is not None:
        operator.admin = admin.address
        admin.follow_reloads(operator.bus)
    if not remainder.there.is_set():
        with trio.move_on_after(PATIENCE):
            await serving.wait()
        if await remainder.load_beside(unavailable):
            log.info("control.available")
    access = _Access(operator, log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(access.over_the_socket, listener)
        if admin is not None:
            nursery.start_soon(access.over_tcp, admin)


class _Access:
    """The control API, in front of which stands a guard."""

    def __init__(self, operator: DoorOperator, log: Log) -> None:
        self._operator = operator
        self._log = log
        self._refused = Seldom(log, "admin.refused")
        self._strange = Seldom(log, "control.failed")

    async def over_the_socket(self, listener: socket.socket) -> None:
        """For whoever may open the control socket."""
        from frontdoor.control import guard

        app = self._app(guard.Rules(tcp=False, hosts=self._operator.admin_hosts))
        # Not to this process itself: an app that may write where its socket is could put a link to the control
        # socket there, and then its clients would be joined to the control API.
        await self._keep_up(app, listener, self._failed, but_from=os.getpid())

    async def over_tcp(self, admin: Admin) -> None:
        """For everybody who gets there."""
        from frontdoor.control import guard

        token = admin.token
        rules = guard.Rules(tcp=True, is_token=token.matches, where=token.where, hosts=self._operator.admin_hosts)
        app = self._app(rules, FOLLOWERS, HINT)
        async with trio.open_nursery() as nursery:
            for listener in admin.listeners:
                options = {"most": admin.connections, "hint": HINT}
                nursery.start_soon(partial(self._keep_up, app, listener, self._failed_for_a_stranger, **options))

    def _app(self, rules: "Rules", followers: int | None = None, hint: str = "") -> "Guard":
        from frontdoor.control import api, guard
        from frontdoor.observe import dashboard

        app = api.app(self._operator, [*guard.routes(), *dashboard.routes()], followers, hint)
        return guard.Guard(app, rules, self._on_refused, self._on_change)

    async def _keep_up(
        self, app: "Guard", listener: socket.socket, failed: Callable[[BaseException], object], **options: Any
    ) -> None:
        from frontdoor.control import server

        while True:
            try:
                await server.serve(app, listener, on_error=failed, **options)
            except Exception as error:
                failed(error)
            await trio.sleep(0.1)

    # -- what is said of it -----------------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> None:
        self._log.warning("control.failed", error=in_words(error))

    def _failed_for_a_stranger(self, error: BaseException) -> None:
        self._strange(error=in_words(error))

    def _on_refused(self, client: object, verdict: "Verdict", asked: "Asked") -> None:
        self._refused(client=show(client), status=verdict.status, asked=line(asked), reason=verdict.error)

    def _on_change(self, client: object, asked: "Asked") -> None:
        self._log.info("admin.asked", client=show(client), asked=line(asked))


def line(asked: "Asked") -> str:
    """What was asked, for the log: a stranger may have written it."""
    return repr(f"{asked.method[:20]} {asked.path[:100]}")[1:-1]
