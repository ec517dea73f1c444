"""What all doors of one door process share."""

from dataclasses import dataclass, field

import trio

from frontdoor.config import Settings
from frontdoor.control.events import Bus
from frontdoor.control.feed import Feed
from frontdoor.door.predecessors import Predecessors
from frontdoor.door.record import Record
from frontdoor.door.streams import Streams
from frontdoor.exchanges.exchanges import Exchanges
from frontdoor.keeper.link import Link
from frontdoor.observe.logs.log import Log
from frontdoor.traffic.listener import Listener
from frontdoor.traffic.protection import Protection
from frontdoor.traffic.relay import Relay


@dataclass(slots=True)
class World:
    """The rooms that a door is put together from."""

    settings: Settings
    """As they were applied last."""
    link: Link
    relay: Relay
    protection: Protection
    listener: Listener
    exchanges: Exchanges
    bus: Bus
    log: Log
    nursery: trio.Nursery
    """Of everything that lives as long as the door process: backends, swaps, drains, hooks."""
    room: int
    """How many streams there are descriptors for."""
    record: Record
    """What outlives frontdoor."""
    predecessors: Predecessors
    """Door processes before this one, that have not ended."""
    stopping: trio.Event = field(default_factory=trio.Event)
    """Everything is being stopped."""
    outputs: Feed = field(default_factory=lambda: Feed(history=0))
    """Each line that a backend prints; the last ones are kept with their generation."""
    streams: Streams = field(init=False)
    """What is open, whoever moves it."""

    def __post_init__(self) -> None:
        self.streams = Streams(self.relay, self.exchanges, self.predecessors)
