"""What all doors of one door process share."""

from dataclasses import dataclass

import trio

from frontdoor.config import Settings
from frontdoor.control.events import Bus
from frontdoor.keeper.link import Link
from frontdoor.observe.log import Log
from frontdoor.traffic.listener import Listener
from frontdoor.traffic.relay import Relay


@dataclass(slots=True)
class World:
    """The rooms that a door is put together from."""

    settings: Settings
    link: Link
    relay: Relay
    listener: Listener
    bus: Bus
    log: Log
    nursery: trio.Nursery
    """Of everything that lives as long as the door process: backends, swaps, drains."""
    room: int
    """How many streams there are descriptors for."""
