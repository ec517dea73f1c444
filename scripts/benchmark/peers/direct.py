"""No proxy at all: what the backends and the clients can do on this machine."""

import contextlib
from collections.abc import Iterator

from benchmark.peers import Place
from benchmark.target import Target


class Direct:
    """The backends' own ports."""

    name = "direct"

    def missing(self) -> str:
        """Nothing."""
        return ""

    def version(self) -> str:
        """None."""
        return ""

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """They run already."""
        yield Target(self.name, place.web.port, place.raw.port, None)
