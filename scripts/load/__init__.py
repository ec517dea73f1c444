"""Load: clients that notice everything a door must never do to them.

Used by `scripts/demo` and by the end-to-end tests. Each kind of client is a small async function: WebSockets with
numbered messages (`websockets`), HTTP with new and with kept connections, slow answers, streamed bodies and uploads
(`requests`). The apps behind the door are the samples, `backends/chat.py` and `backends/web.py`, or any other that has
their routes and says who it is: in `X-Served-By: v1#7`, and in a WebSocket's first message, {"version", "generation"}.

`sabotage` is the opposite of a door, for showing that this load can fail.
"""

from load.expectation import Expectation
from load.harness import Clients, Load
from load.record import Counts, Failure, Result, Row
from load.report import table
from load.sabotage import Relay, relay

__all__ = ["Clients", "Counts", "Expectation", "Failure", "Load", "Relay", "Result", "Row", "relay", "table"]
