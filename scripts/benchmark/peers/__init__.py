"""The targets: one module each. What they have in common is here."""

import re
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from benchmark.backends import Backend
from benchmark.target import Target

Protocols = Literal["tcp", "http"]
"""What a peer looks at: streams of bytes, or the requests in them."""


@dataclass(frozen=True)
class Place:
    """Where a peer runs: a folder for its files, and the backends that it shall stand in front of."""

    folder: str
    web: Backend
    raw: Backend
    only_raw: bool = False  # nothing is asked of the other one: all room may be for this one's streams


class Peer(Protocol):
    """A kind of target. Each is configured to do what frontdoor does, in one thread, and with no limit in its way.

    Most can be two things: a proxy of streams, or one of requests. What it shall be is said when it is made.
    """

    @property
    def name(self) -> str:
        """What `--peers` takes."""

    def missing(self) -> str:
        """What to install before it can run here; "" when it can."""

    def version(self) -> str:
        """Such as 2.6.12."""

    def serving(self, place: Place) -> AbstractContextManager[Target]:
        """Run it. Raises StartError."""


def said_version(*command: str) -> str:
    """The first thing that looks like a version in what a command says."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)*", ran.stdout + ran.stderr)
    return found[0] if found else "?"
