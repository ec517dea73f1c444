"""``[frontdoor] admin``: the control API over TCP. Its listening socket is the keeper's, as all others are."""

import math
import socket
import time
from collections.abc import Sequence

from frontdoor.config import Settings
from frontdoor.control.events import Bus
from frontdoor.door.doors import listen
from frontdoor.door.refusal import CannotStart
from frontdoor.door.token import Token
from frontdoor.keeper.link import Held, Link
from frontdoor.observe.logs.log import Log
from frontdoor.sockets import show

CONNECTIONS = 128
"""Over TCP, at once: places of their own, so nobody there can take those of the control socket."""

FOLLOWERS = 64
"""Of them, who follow. Whoever follows cannot keep out whoever asks."""

SEND_BUFFER = 64 * 1024
"""Bytes that the kernel keeps for a client who does not read (socket(7): it takes twice as many); by itself it would
take up to 4 MiB for each (tcp(7), tcp_wmem)."""

HINT = "; the control socket has places of its own: frontdoor status works"
"""What somebody can do for whom there is no place."""

SAID_EVERY = 10.0
"""Seconds between two log lines about what anybody who gets there can cause."""


class Admin:
    """Where it is offered, and the token that it asks for."""

    def __init__(self, listeners: Sequence[socket.socket], token: Token, log: Log) -> None:
        self.listeners = listeners
        self.token = token
        self._log = log

    def __repr__(self) -> str:
        return f"<Admin on {self.address}>"

    @classmethod
    async def open(cls, link: Link, settings: Settings, held: Held, log: Log) -> "Admin | None":
        """Take the address, and make sure of the token. None: the config has none. Raises CannotStart."""
        ours = settings.frontdoor
        if not ours.admin:
            return None
        try:
            listeners = await listen(link, "listen/admin", ours.admin, held)
        except CannotStart as error:
            raise CannotStart(f"[frontdoor] admin: {str(error).replace('in `listen`', 'for it')}") from None
        for sock in listeners:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # whoever is accepted inherits it
        token = Token(ours.runtime_dir, ours.runtime_dir_shown, log)
        token.make_sure()
        admin = cls(listeners, token, log)
        log.info("admin.listening", address=admin.address, token=token.where)
        for warning in ours.warnings:
            log.warning("admin.exposed", reason=warning)
        return admin

    @property
    def address(self) -> str:
        """Where it listens, with the port that the kernel picked."""
        return show(self.listeners[0].getsockname())

    @property
    def connections(self) -> int:
        """How many there may be at each of its listening sockets: "localhost" may be two."""
        return CONNECTIONS // len(self.listeners)

    def follow_reloads(self, bus: Bus) -> None:
        """A reload is when a new token is made, if there is none any more."""

        def heard(event: dict[str, object]) -> None:
            if event["event"] == "config.reloaded":
                self.token.make_sure()

        bus.subscribe(heard)


class Seldom:
    """Warns in the log of what strangers can cause as often as they like: how often it was, and the last of it."""

    def __init__(self, log: Log, event: str) -> None:
        self._log = log
        self._event = event
        self._count = 0
        """Since it was last said."""
        self._said = -math.inf

    def __call__(self, **fields: object) -> None:
        """Once more."""
        self._count += 1
        now = time.monotonic()
        if now >= self._said + SAID_EVERY:
            self._log.warning(self._event, **fields, count=self._count)
            self._count, self._said = 0, now
